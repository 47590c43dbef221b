"""Reader of a pair's files, whole or by window, into arrays for the transforms."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lightning_seg.data.reading.decoded_cache import decoded_image
from lightning_seg.data.reading.image_files import cut, image_size, no_data, read_image
from lightning_seg.data.reading.labels import IGNORE_INDEX, LabelDecoder
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.errors import InputError

ValueRange = tuple[float, float] | list[tuple[float, float]]


@dataclass(frozen=True)
class ExtraChannel:
    """Format of an extra channel's files: elevation or depth, one number per pixel.

    Args:
        value_range: The values that map to 0 and 1; by default the range of the integer type.
        rotated_bits: Number of bits by which the stored 16-bit numbers are rotated to the left.
        decoded_in: Folder for decoded copies of large files other than TIFF, so that windows can be
            read on their own; None reads these files whole.
    """

    value_range: tuple[float, float] | None = None
    rotated_bits: int = 0
    decoded_in: Path | None = None

    def read(self, path: Path, window: Window | None = None) -> np.ndarray:
        """Read the channel, or a window of it, as (H, W, 1) float32 in [0, 1]."""
        if window is not None and self.decoded_in is not None and not is_raster(path):
            stored = cut(decoded_image(path, 1, self.decoded_in), window)
        else:
            stored = read_image(path, 1, window)
        if self.rotated_bits:
            # Some versions of Pillow return 16-bit PNGs as 32-bit numbers.
            wide = stored.astype(np.uint32)
            stored = (wide >> self.rotated_bits | wide << 16 - self.rotated_bits).astype(np.uint16)
        return as_decimals(scale_values(stored, self.value_range, path))


@dataclass(frozen=True)
class PairReader:
    """Reader of one dataset's pairs.

    Args:
        decoder: Decoder of the masks.
        channels: Channels of the image files.
        value_range: Lowest and highest image value, for floats or for integers that do not use the
            full range of their type; or one such pair for each channel.
        extra: How to read a pair's file of an extra channel.
        downscale: Downscale factor of all files, by area averages for images and nearest neighbour
            for masks. Windows and sizes refer to the downscaled arrays.
        image_downscale: Size of image files relative to label files; images are downscaled by it.
        masks_alone: Reads no images, which need not exist: they are black, of the mask's size.
    """

    decoder: LabelDecoder
    channels: int = 3
    value_range: ValueRange | None = None
    extra: ExtraChannel | None = None
    downscale: int = 1
    image_downscale: int = 1
    masks_alone: bool = False

    def size(self, pair: Pair) -> tuple[int, int]:
        """Return the height and width of the sample, from the image's header."""
        if pair.part is not None:
            return pair.part.height, pair.part.width
        return self.whole_size(pair)

    def whole_size(self, pair: Pair) -> tuple[int, int]:
        """Return the height and width of the whole files."""
        if self.masks_alone and pair.label is not None:
            height, width = self.decoder.size(pair.label)
            return height // self.downscale, width // self.downscale
        height, width = image_size(pair.image)
        return height // self.image_factor, width // self.image_factor

    def image(self, pair: Pair, window: Window | None = None) -> np.ndarray:
        """Read the image (H, W, C), uint8 or float32 in [0, 1]."""
        if self.masks_alone:
            size = self.size(pair) if window is None else window[2:]
            return np.zeros((*size, self.channels), np.uint8)
        area = _in_files(pair, window)
        image = read_image(pair.image, self.channels, _upscaled(area, self.image_factor))
        return self._downscaled(scale_values(image, self.value_range, pair.image))

    def extra_channel(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """Read the extra channel (H, W, 1) float32 in [0, 1], if the pair has one."""
        if pair.extra is None or self.extra is None or self.masks_alone:
            return None
        area = _upscaled(_in_files(pair, window), self.image_factor)
        return self._downscaled(self.extra.read(pair.extra, area))

    def mask(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """Read the mask (H, W) uint8 of 0..K-1 and 255, if the pair has a label.

        It is 255, too, where `void` is true. With several labels per pixel it is (H, W, K) of 0, 1
        and 255.
        """
        label = self.label(pair, window)
        return None if label is None else ignored_where(self.void(pair, window), label)

    def label(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """Read the label by itself, in the form of `mask`."""
        if pair.label is None:
            return None
        area = _in_files(pair, window)
        mask = self.decoder.read(pair.label, _upscaled(area, self.downscale))
        height, width = (side // self.downscale for side in mask.shape[:2])
        return mask[:: self.downscale, :: self.downscale][:height, :width]

    def void(self, pair: Pair, window: Window | None = None) -> np.ndarray | None:
        """Return where the label does not count (H, W) bool; None if it counts everywhere.

        It does not where the image has no data, and in the parts that are held out.
        """
        area, empty = _in_files(pair, window), None
        height, width = self.size(pair) if area is None else area[2:]
        if not self.masks_alone:
            empty = no_data(pair.image, self.channels, _upscaled(area, self.image_factor))
        if empty is None and not pair.without:
            return None
        if empty is None:
            void = np.zeros((height, width), bool)
        else:
            void = empty[:: self.image_factor, :: self.image_factor][:height, :width]
        top, left = (0, 0) if area is None else (area.row, area.column)
        for part in pair.without:
            first_row, first_column = max(part.row - top, 0), max(part.column - left, 0)
            last_row, last_column = part.row + part.height - top, part.column + part.width - left
            void[first_row : max(last_row, 0), first_column : max(last_column, 0)] = True
        return void

    @property
    def image_factor(self) -> int:
        """Downscale factor of image files."""
        return self.downscale * self.image_downscale

    def _downscaled(self, image: np.ndarray) -> np.ndarray:
        factor = self.image_factor
        if factor == 1:
            return image
        height, width = (side // factor for side in image.shape[:2])
        whole = image[: height * factor, : width * factor]
        smaller = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        return smaller.reshape(height, width, -1)


def _in_files(pair: Pair, window: Window | None) -> Window | None:
    """Return a window of the sample in coordinates of the files."""
    if pair.part is None or window is None:
        return window or pair.part
    return Window(pair.part.row + window.row, pair.part.column + window.column, *window[2:])


def ignored_where(void: np.ndarray | None, label: np.ndarray) -> np.ndarray:
    """Return a label (H, W) or (H, W, K) with 255 where it does not count."""
    if void is None:
        return label
    return np.where(void if label.ndim == 2 else void[..., None], np.uint8(IGNORE_INDEX), label)


def _upscaled(window: Window | None, factor: int) -> Window | None:
    return None if window is None else Window(*(part * factor for part in window))


def as_decimals(image: np.ndarray) -> np.ndarray:
    """Return the result of `scale_values` as float32 in [0, 1]."""
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def scale_values(image: np.ndarray, value_range: ValueRange | None, path: Path) -> np.ndarray:
    """Convert an image for the transforms: uint8 is kept, all else becomes float32 in [0, 1].

    With ``value_range``, values outside are clipped. No data become 0, which are NaN or the lowest
    number of an integer type, see `read_image`.
    """
    if value_range is not None:
        low, high = np.array(value_range, np.float32).T
        image = (image.astype(np.float32) - low) / (high - low)
        return np.nan_to_num(image).clip(0.0, 1.0)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.iinfo(np.uint16).max
    if np.issubdtype(image.dtype, np.integer):
        known = image[image > np.iinfo(image.dtype).min]
        extremes = f", from {known.min()} to {known.max()}" if known.size else ""
        raise InputError(
            f"{path} holds numbers of type {image.dtype}{extremes}, "
            "whose range is unknown. Set value_range to the lowest and highest value of the images."
        )
    known = image[np.isfinite(image)]
    if known.size and not (known.min() >= 0.0 and known.max() <= 1.0):
        raise InputError(
            f"{path} holds floats from {known.min():g} to {known.max():g}, but 0 to 1 is "
            "expected. Set value_range to the lowest and highest value of the images."
        )
    return np.nan_to_num(image.astype(np.float32))
