"""Sizes, channels and values of images."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lightning_seg.data.discovery.windows import first_window, spread
from lightning_seg.data.reading.image_files import (
    image_channels,
    image_size,
    no_data,
    read_bands,
    read_image,
)
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import has_alpha, is_raster, no_data_value

_READ_IMAGES = 8


@dataclass
class Images:
    """Sizes and values of images.

    Attributes:
        sizes: Number of images of each (height, width).
        settings: Settings of `FolderDataModule`: channels and value range, where not the default.
        remarks: What was assumed.
        values: Lowest and highest value of the images that were read.
        dtype: Type of the values, or types.
    """

    sizes: Counter[tuple[int, int]]
    settings: dict[str, Any]
    remarks: list[str]
    values: tuple[float, float]
    dtype: str


def find_image_format(pairs: Sequence[Pair]) -> Images:
    """Return sizes, channels and value range; sizes of all images, values of up to 8."""
    sizes = Counter(image_size(pair.image) for pair in pairs)
    read = spread([pair.image for pair in pairs], _READ_IMAGES)
    remarks: list[str] = []
    in_channels = _channels(read, remarks)
    settings: dict[str, Any] = {"in_channels": in_channels} if in_channels != 3 else {}
    low, high = float("inf"), float("-inf")
    types: set[np.dtype[Any]] = set()
    for path in read:
        image, known = _known(path, in_channels)
        types.add(image.dtype)
        if known.any():
            low, high = min(low, float(image[known].min())), max(high, float(image[known].max()))
    kinds = ", ".join(sorted(map(str, types)))
    if low > high:
        low = high = 0.0
        remarks.append("The images that were read hold no data; set value_range if it is needed.")
    elif len(types) > 1:
        remarks.append(
            f"Images are of several types ({kinds}): integers are divided by the largest number of "
            "their type, floats are not. If all have one scale, convert them to one type."
        )
    elif value_range := _value_range(low, high, image.dtype):
        settings["value_range"] = value_range
        remarks.append(f"Values are scaled from {value_range}, by {len(read)} image(s).")
    return Images(sizes, settings, remarks, (low, high), kinds)


def _channels(images: Sequence[Path], remarks: list[str]) -> int:
    channels = image_channels(images[0])
    # Grey images are read as three channels, and alpha is dropped.
    if channels == 1 or (channels in (2, 4) and not is_raster(images[0])):
        return 3
    tagged = [path for path in images if is_raster(path) and has_alpha(path)]
    if channels != 3 or not tagged:
        return channels
    # GDAL calls the fourth band of bytes alpha unless it is told what it is.
    last = np.concatenate([read_bands(p, first_window(p))[..., -1].ravel() for p in tagged])
    opaque = np.iinfo(last.dtype).max if np.issubdtype(last.dtype, np.integer) else 1
    others = last[(last != 0) & (last != opaque)]
    if not others.size:
        remarks.append(
            "The images' last band is taken for opacity, as their header says, and not read; "
            "--data.in_channels 4 reads it."
        )
        return 3
    remarks.append(
        f"The images' last band is read (in_channels 4): it holds values from {others.min()} to "
        f"{others.max()}, so it is hardly opacity, as their header says. --data.in_channels 3 "
        "takes it for that."
    )
    return 4


def _known(path: Path, in_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a part of an image (H, W, C), and where it holds data."""
    window = first_window(path)
    image = read_image(path, in_channels, window)
    known = np.isfinite(image)
    empty = no_data(path, in_channels, window)
    if empty is not None:
        known &= ~empty[..., None]
    if is_raster(path) and (value := no_data_value(path)) is not None:
        known &= image != value
        if image.dtype.kind == "i":
            known &= image != np.iinfo(image.dtype).min  # what bands without data are read as
    return image, known


def _value_range(low: float, high: float, dtype: np.dtype[Any]) -> list[float] | None:
    """Return the range of values to be scaled; None for the default of a type."""
    if dtype == np.uint16:
        most = 2 ** max(int(high).bit_length(), 8) - 1
        return [0, most] if most < np.iinfo(np.uint16).max else None
    if dtype == np.uint8 or (low >= 0 and high <= 1):
        return None
    if low == high:
        return [low, low + 1]
    digits = max(3 - math.floor(math.log10(high - low)), 0)
    return [round(low, digits), round(high, digits)]
