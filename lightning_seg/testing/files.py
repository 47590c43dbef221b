"""Synthetic scenes, and writers of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from lightning_seg.data.reading.labels import IGNORE_INDEX, distinct_colors

Masks = dict[str, dict[str, np.ndarray]]
Size = tuple[int, int]

_MOST_REGIONS = 12


def draw_scene(
    seed: int, size: Size, num_classes: int, void: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image (H, W, 3) uint8 of single-class regions and its mask (H, W) uint8.

    Args:
        seed: Random seed.
        size: Height and width.
        num_classes: Number of classes; at most 12 of them are drawn.
        void: Leaves a strip along the upper border unlabelled (255).
    """
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    count = min(num_classes, _MOST_REGIONS)
    classes = random.choice(num_classes, count, replace=False)
    seeds = random.random((2 * count, 2)) * size
    nearest = np.argmin(
        [(rows - row) ** 2 + (columns - column) ** 2 for row, column in seeds], axis=0
    )
    mask = classes[nearest % count].astype(np.uint8)
    colors = np.random.default_rng(num_classes).integers(40, 216, (num_classes, 3))
    noise = random.integers(-30, 31, (*size, 3))
    image = (colors[mask] + noise).astype(np.uint8)
    if void:
        mask[: max(size[0] // 16, 1)] = IGNORE_INDEX
    return image, mask


def paint(
    mask: np.ndarray, colors: Sequence[tuple[int, int, int]], void: tuple[int, int, int]
) -> np.ndarray:
    """Return the mask (H, W) as colours (H, W, 3) uint8."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    table[IGNORE_INDEX] = void
    return table[mask]


def number(mask: np.ndarray, values: Sequence[int], void: int) -> np.ndarray:
    """Return the mask (H, W) with the label value of each class, (H, W) uint8."""
    table = np.full(256, void, np.uint8)
    table[: len(values)] = values
    return table[mask]


def write_tiff(path: Path, pixels: np.ndarray, compression: str | None = "zlib") -> None:
    """Write a TIFF with 16-row strips: (H, W), or (H, W, C) with the first three bands RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = ["unspecified"] * (pixels.shape[2] - 3) if pixels.ndim == 3 else []
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(
        path,
        pixels,
        photometric=photometric,
        compression=compression,
        rowsperstrip=16,
        extrasamples=extra or None,
    )


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG: 8-bit grey or RGB, or 16-bit grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_paletted_png(path: Path, ids: np.ndarray) -> None:
    """Write a PNG of palette indices with the palette of PASCAL VOC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids).convert("L")
    image.putpalette(np.array(distinct_colors(256), np.uint8).tobytes())
    image.save(path)


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    """Write a JPEG: grey or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=92)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
