"""Reads the files of a pair, whole or by window, into arrays that transforms work on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lightning_seg.data.reading.decoded_cache import decoded_image
from lightning_seg.data.reading.image_files import cut, image_size, read_image
from lightning_seg.data.reading.labels import IGNORE_INDEX, LabelDecoder
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.errors import InputError


@dataclass(frozen=True)
class ExtraBand:
    """What a further channel's files hold: elevation or depth, one number a pixel.

    Args:
        value_range: The numbers that become 0 and 1; by default those of the integer type.
        rotated_bits: By how many bits 16-bit numbers were rotated to the left when they were saved.
        decoded_in: A folder for decoded copies of large files that are no TIFF, so that windows of
            them can be read without the rest; none where they are read whole.
    """

    value_range: tuple[float, float] | None = None
    rotated_bits: int = 0
    decoded_in: Path | None = None

    def read(self, path: Path, window: Window | None = None) -> np.ndarray:
        """The channel, or a window of it, as (H, W, 1) float32 in [0, 1].

        Raises:
            InputError: The file is damaged, or has other than one channel or another type.
        """
        if window is not None and self.decoded_in is not None and not is_raster(path):
            stored = cut(decoded_image(path, 1, self.decoded_in), window)
        else:
            stored = read_image(path, 1, window)
        if self.rotated_bits:
            # Pillow gives 16-bit PNGs as 32-bit numbers in some of its versions.
            wide = stored.astype(np.uint32)
            stored = (wide >> self.rotated_bits | wide << 16 - self.rotated_bits).astype(np.uint16)
        return as_decimals(scale_values(stored, self.value_range, path))


@dataclass(frozen=True)
class PairReader:
    """Reads pairs of one dataset.

    Args:
        decoder: Reads masks.
        channels: Channels of the image files.
        value_range: Lowest and highest value of the images, for float images or where integers do
            not use their type's full range.
        extra: How a pair's file of one more channel is read.
        reduction: Shrinks all this many times, images by means and masks by nearest neighbours;
            windows and sizes are those of what is shrunk.
        image_reduction: How many times larger image files are than label files; they are shrunk.
    """

    decoder: LabelDecoder
    channels: int = 3
    value_range: tuple[float, float] | None = None
    extra: ExtraBand | None = None
    reduction: int = 1
    image_reduction: int = 1

    def size(self, pair: Pair) -> tuple[int, int]:
        """Height and width of the sample, from the image's header."""
        if pair.part is not None:
            return pair.part.height, pair.part.width
        return self.whole_size(pair)

    def whole_size(self, pair: Pair) -> tuple[int, int]:
        """Height and width of all that the files hold."""
        height, width = image_size(pair.image)
        return height // self.image_factor, width // self.image_factor

    def image(self, pair: Pair, window: Window | None = None) -> np.ndarray:
        """The image (H, W, C), uint8 or float32 in [0, 1].

        Raises:
            InputError: The file is missing or damaged, or its channels or values do not fit.
        """
        place = _in_files(pair, window)
        image = read_image(pair.image, self.channels, _enlarged(place, self.image_factor))
        return self._shrunk(scale_values(image, self.value_range, pair.image))

    def extra_channel(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """The further channel (H, W, 1) float32 in [0, 1], if the pair has one.

        Raises:
            InputError: The file is missing or damaged, or its values do not fit.
        """
        if pair.extra is None or self.extra is None:
            return None
        place = _enlarged(_in_files(pair, window), self.image_factor)
        return self._shrunk(self.extra.read(pair.extra, place))

    def mask(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """The mask (H, W) uint8 of 0..K-1 and 255, if the pair has a label.

        Raises:
            InputError: The file is missing or damaged, or holds what is no class.
        """
        if pair.label is None:
            return None
        place = _in_files(pair, window)
        mask = self.decoder.read(pair.label, _enlarged(place, self.reduction))
        height, width = (side // self.reduction for side in mask.shape)
        mask = mask[:: self.reduction, :: self.reduction][:height, :width]
        return _ignored_in(mask, pair.without, place) if pair.without else mask

    @property
    def image_factor(self) -> int:
        """How many times images are shrunk."""
        return self.reduction * self.image_reduction

    def _shrunk(self, image: np.ndarray) -> np.ndarray:
        factor = self.image_factor
        if factor == 1:
            return image
        height, width = (side // factor for side in image.shape[:2])
        whole = image[: height * factor, : width * factor]
        smaller = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        return smaller.reshape(height, width, -1)


def _in_files(pair: Pair, window: Window | None) -> Window | None:
    """A window of the sample as one of what the files hold."""
    if pair.part is None or window is None:
        return window or pair.part
    return Window(pair.part.row + window.row, pair.part.column + window.column, *window[2:])


def _ignored_in(mask: np.ndarray, parts: Sequence[Window], place: Window | None) -> np.ndarray:
    top, left = (0, 0) if place is None else (place.row, place.column)
    mask = mask.copy()
    for part in parts:
        first_row, first_column = max(part.row - top, 0), max(part.column - left, 0)
        last_row, last_column = part.row + part.height - top, part.column + part.width - left
        mask[first_row : max(last_row, 0), first_column : max(last_column, 0)] = IGNORE_INDEX
    return mask


def _enlarged(window: Window | None, factor: int) -> Window | None:
    return None if window is None else Window(*(part * factor for part in window))


def as_decimals(image: np.ndarray) -> np.ndarray:
    """What `scale_values` gives, as float32 in [0, 1]."""
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def scale_values(
    image: np.ndarray, value_range: tuple[float, float] | None, path: Path
) -> np.ndarray:
    """Brings an image to what transforms work on: uint8 as it is, all else float32 in [0, 1].

    With ``value_range``, values beyond it become 0 or 1, and NaN (no data) 0.

    Raises:
        InputError: Without ``value_range``, a float image leaves [0, 1] or holds NaN, or integers
            are signed or of more than 16 bits, whose full range no image uses.
    """
    if value_range is not None:
        low, high = value_range
        image = (image.astype(np.float32) - low) / (high - low)
        return np.nan_to_num(image).clip(0.0, 1.0)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.iinfo(np.uint16).max
    if np.issubdtype(image.dtype, np.integer):
        raise InputError(
            f"{path} holds numbers of type {image.dtype}, from {image.min()} to {image.max()}, "
            "whose range is unknown. Set value_range to the lowest and highest value of the images."
        )
    if not (image.min() >= 0.0 and image.max() <= 1.0):
        raise InputError(
            f"{path} holds decimal numbers from {image.min():g} to {image.max():g}, but 0 to 1 is "
            "expected. Set value_range to the lowest and highest value of the images."
        )
    return image.astype(np.float32)
