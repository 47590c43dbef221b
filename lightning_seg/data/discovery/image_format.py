"""Sizes, channels and values of images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_seg.data.discovery.windows import first_window
from lightning_seg.data.reading.image_files import image_channels, image_size, read_image
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import is_raster

_READ_IMAGES = 8


@dataclass
class Images:
    """Sizes and values of images.

    Attributes:
        sizes: Number of images of each (height, width).
        settings: Settings of `FolderDataModule`: channels and value range, where not the default.
        remarks: What was assumed.
        values: Lowest and highest value of the images that were read.
        dtype: Type of the values.
    """

    sizes: Counter[tuple[int, int]]
    settings: dict[str, Any]
    remarks: list[str]
    values: tuple[float, float]
    dtype: str


def find_image_format(pairs: Sequence[Pair]) -> Images:
    """Return sizes, channels and value range; sizes of all images, values of up to 8."""
    sizes = Counter(image_size(pair.image) for pair in pairs)
    count = min(_READ_IMAGES, len(pairs))
    read = [pairs[i * len(pairs) // count].image for i in range(count)]
    channels = image_channels(read[0])
    # Grey images are read as three channels, and alpha is dropped.
    in_channels = 3 if channels == 1 or (channels == 4 and not is_raster(read[0])) else channels
    low, high = float("inf"), float("-inf")
    for path in read:
        image = read_image(path, in_channels, first_window(path))
        finite = image[np.isfinite(image)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    settings: dict[str, Any] = {"in_channels": in_channels} if in_channels != 3 else {}
    remarks: list[str] = []
    if image.dtype == np.uint16:
        most = 2 ** max(int(high).bit_length(), 8) - 1
        if most < np.iinfo(np.uint16).max:
            settings["value_range"] = [0, most]
    elif image.dtype != np.uint8 and (low < 0 or high > 1):
        settings["value_range"] = [round(low, 3), round(high, 3)] if low < high else [low, low + 1]
    if "value_range" in settings:
        remarks.append(f"Values are scaled from {settings['value_range']}, by {count} image(s).")
    return Images(sizes, settings, remarks, (low, high), str(image.dtype))
