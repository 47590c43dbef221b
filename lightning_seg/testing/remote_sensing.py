"""Tiny aerial tiles: ISPRS Potsdam and Vaihingen, INRIA, Data Fusion Contest 2015."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.dfc2015 import DFC2015_CLASSES
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.testing.files import Masks, Size, draw_scene, paint, write_jpeg, write_tiff

Tiles = dict[str, Sequence[str]]

_BLACK = (0, 0, 0)
_POTSDAM: Tiles = {"train": ("2_10", "7_8"), "val": ("3_12",), "test": ("2_13",)}
_VAIHINGEN: Tiles = {"train": ("1", "3"), "val": ("11",), "test": ("2",)}
_DFC2015: Tiles = {
    "train": ("315130_56865", "315130_56870", "315135_56870"),
    "val": ("315140_56865",),
    "test": ("315135_56865", "315145_56865"),
}
_INRIA: Tiles = {"train": ("austin6", "vienna36"), "val": ("austin1", "tyrol-w5"), "test": ()}


def write_potsdam(
    root: str | Path, size: Size = (64, 80), seed: int = 0, tiles: Tiles = _POTSDAM
) -> Masks:
    """Write Potsdam: RGB, IRRG and RGBIR images, elevations, full and eroded labels.

    The returned masks are the full labels; eroded labels are black in the top rows. Give the module
    the same tiles: ``train_tiles=["2_10", "7_8"]`` and so on.
    """
    root = Path(root)
    masks: Masks = {split: {} for split in tiles}
    for split, tile, image, mask in _scenes(tiles, size, seed, len(ISPRS_CLASSES)):
        infrared = np.roll(image[..., :1], 7, axis=1)
        bands = {
            "2_Ortho_RGB/top_potsdam_{}_RGB.tif": image,
            "3_Ortho_IRRG/top_potsdam_{}_IRRG.tif": np.dstack([infrared, image[..., :2]]),
            "4_Ortho_RGBIR/top_potsdam_{}_RGBIR.tif": np.dstack([image, infrared]),
        }
        for name, pixels in bands.items():
            write_tiff(root / name.format(tile), pixels)
        padded = "_".join(part.zfill(2) for part in tile.split("_"))
        elevation = f"1_DSM_normalisation/dsm_potsdam_{padded}_normalized_lastools.jpg"
        write_jpeg(root / elevation, image[..., 1])
        _write_labels(
            root / f"5_Labels_all/top_potsdam_{tile}_label.tif",
            root / f"5_Labels_all_noBoundary/top_potsdam_{tile}_label_noBoundary.tif",
            mask,
        )
        masks[split][f"top_potsdam_{tile}_RGB"] = mask
    return masks


def write_vaihingen(
    root: str | Path, size: Size = (64, 80), seed: int = 0, tiles: Tiles = _VAIHINGEN
) -> Masks:
    """Write Vaihingen: IRRG images, elevations, full and eroded labels; see `write_potsdam`."""
    root = Path(root)
    masks: Masks = {split: {} for split in tiles}
    for split, tile, image, mask in _scenes(tiles, size, seed, len(ISPRS_CLASSES)):
        name = f"top_mosaic_09cm_area{tile}"
        write_tiff(root / f"top/{name}.tif", image)
        write_jpeg(root / f"ndsm/dsm_09cm_matching_area{tile}_normalized.jpg", image[..., 1])
        _write_labels(
            root / f"gts_for_participants/{name}.tif",
            root / f"gts_eroded_for_participants/{name}_noBoundary.tif",
            mask,
        )
        masks[split][name] = mask
    return masks


def write_dfc2015(
    root: str | Path, size: Size = (64, 80), seed: int = 0, tiles: Tiles = _DFC2015
) -> Masks:
    """Write Data Fusion Contest 2015: RGB images and colour labels; newer names for test tiles."""
    root = Path(root)
    masks: Masks = {split: {} for split in tiles}
    for split, tile, image, mask in _scenes(tiles, size, seed, len(DFC2015_CLASSES)):
        ending = "_UTM31N" if split == "test" else ""
        name = f"BE_ORTHO_27032011_{tile}{ending}"
        write_tiff(root / f"{name}.tif", image)
        colors = paint(mask, tuple(DFC2015_CLASSES.values()), _BLACK)
        write_tiff(root / f"label_{tile}{ending}.tif", colors)
        masks[split][name] = mask
    return masks


def write_inria(
    root: str | Path, size: Size = (64, 80), seed: int = 0, tiles: Tiles = _INRIA
) -> Masks:
    """Write INRIA: RGB images and one-band masks of 0 and 255; two images to predict without masks.

    Test uses the validation tiles.
    """
    root = Path(root)
    masks: Masks = {split: {} for split in tiles}
    for split, name, image, mask in _scenes(tiles, size, seed, 2):
        write_tiff(root / f"train/images/{name}.tif", image)
        write_tiff(root / f"train/gt/{name}.tif", mask * np.uint8(255))
        masks[split][name] = mask
    for index, name in enumerate(("bellingham1", "sfo36")):
        image, _ = draw_scene(_seed(seed, "predict", index), size, 2)
        write_tiff(root / f"test/images/{name}.tif", image)
    return masks | {"test": masks["val"]}


def _scenes(
    tiles: Tiles, size: Size, seed: int, num_classes: int
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield split, name, image and mask of each tile."""
    for split, names in tiles.items():
        for index, name in enumerate(names):
            yield split, name, *draw_scene(_seed(seed, split, index), size, num_classes, void=False)


def _write_labels(full: Path, eroded: Path, mask: np.ndarray) -> None:
    colors = paint(mask, tuple(ISPRS_CLASSES.values()), _BLACK)
    write_tiff(full, colors)
    colors[:2] = _BLACK
    write_tiff(eroded, colors)


def _seed(seed: int, split: str, index: int) -> int:
    return seed * 1000 + ("train", "val", "test", "predict").index(split) * 100 + index
