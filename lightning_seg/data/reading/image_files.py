"""Image files as arrays. Every unreadable file raises an InputError with its name."""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from lightning_seg.data.reading import tiff
from lightning_seg.data.reading.limits import refuse_too_large
from lightning_seg.errors import InputError

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
IMAGE_SUFFIXES = (".png", *JPEG_SUFFIXES, *tiff.RASTER_SUFFIXES, ".bmp", ".webp")

_EXIF_ORIENTATION = 0x0112
_TURNED_BY_90_DEGREES = (5, 6, 7, 8)
_PNG = b"\x89PNG\r\n\x1a\n"
# By first bytes, whatever the suffix. Image.open would add formats that run other programs, and
# Pillow's limit of pixels.
_READERS: dict[bytes, Callable[[Path, str], Image.Image]] = {
    _PNG: PngImageFile,
    b"\xff\xd8": JpegImageFile,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
    b"II": TiffImageFile,
    b"MM": TiffImageFile,
}
_LONGEST_CAUSE = 200
_GRAY_MODES = ("L", "I", "I;16", "I;16B", "I;16L", "F")


def image_size(path: Path) -> tuple[int, int]:
    """Return the upright height and width in pixels, from the file's header alone."""
    with _naming(path):
        if tiff.is_raster(path):
            return tiff.raster_size(path)
        with _open(path) as image:
            width, height = image.size
            # getexif() alone would decode a whole PNG to look for the tag at its end.
            exif = image.getexif() if "exif" in image.info else {}
            turned = exif.get(_EXIF_ORIENTATION) in _TURNED_BY_90_DEGREES
        return (width, height) if turned else (height, width)


def image_channels(path: Path) -> int:
    """Return the number of channels in an image file; of a palette, those of its colours.

    Alpha does not count in a raster, nor beside grey.
    """
    if tiff.is_raster(path):
        with _naming(path):
            pixels = tiff.read_raster(path, tiff.Window(0, 0, 1, 1))
            return pixels.shape[2] - tiff.has_alpha(path) if pixels.ndim == 3 else 1
    with _naming(path), _open(path) as image:
        return {"P": 3, "LA": 1}.get(image.mode, len(image.getbands()))


def is_paletted(path: Path) -> bool:
    """Return True if an image file, other than a raster, has a palette."""
    if tiff.is_raster(path):
        return False
    with _naming(path), _open(path) as image:
        return image.mode == "P"


def read_image(path: Path, in_channels: int, window: tiff.Window | None = None) -> np.ndarray:
    """Read an image, or a window of it, as (H, W, in_channels), upright, in the file's dtype.

    Grey images are repeated to three channels; an alpha channel is dropped. Where a band
    of a raster has no data, floats are NaN and integers the lowest number of their type. The EXIF
    tag (in TIFF, Orientation) is applied, and palettes are resolved to colours. Only the window is
    read from TIFFs; other files are read whole.
    """
    with _naming(path):
        if tiff.is_raster(path):
            array, window = tiff.read_filled(path, window), None
        else:
            array = _read_whole(path, _plain)
    return fit_channels(cut(array, window), in_channels, path)


def no_data(path: Path, channels: int, window: tiff.Window | None = None) -> np.ndarray | None:
    """Return where an image file has no data, (H, W) bool; None if it has all.

    These are pixels with an alpha of 0, unless alpha is one of the channels that are read, and for
    rasters those of `tiff.no_data`.
    """
    with _naming(path):
        if tiff.is_raster(path):
            return tiff.no_data(path, channels, window)
        if not may_lack_data(path, channels):
            return None
        with _open(path) as image:
            alpha = np.asarray(ImageOps.exif_transpose(image).getchannel("A"))
    return cut(alpha == 0, window)


def may_lack_data(path: Path, channels: int) -> bool:
    """Return whether `no_data` may find pixels without data, by the header alone."""
    with _naming(path):
        if tiff.is_raster(path):
            return tiff.may_lack_data(path, channels)
        with _open(path) as image:
            return image.mode in ("LA", "RGBA") and channels != len(image.mode)


def read_label(path: Path, colors: bool, window: tiff.Window | None = None) -> np.ndarray:
    """Read a label file, or a window of it: ids (H, W), or with ``colors`` RGB (H, W, 3) uint8.

    A paletted PNG or TIFF yields its indices as ids and its palette entries as colours. Grey is a
    colour with three equal channels, and a grey label saved as RGB, with 8 or 16 bits, still
    holds ids. Ids are the
    stored numbers and colours the displayed ones, even in a TIFF where 0 is white. Alpha is
    dropped. Labels are rotated like images.
    """
    with _naming(path):
        if tiff.is_raster(path):
            array, window = tiff.read_raster(path, window, shown=colors), None
        else:
            array = _read_whole(path, _plain if colors else _plain_ids, in_8_bits=colors)
    array = cut(array.astype(np.uint8) if array.dtype == bool else array, window)
    return label_colors(array, path) if colors else _label_ids(array, path)


def read_bands(path: Path, window: tiff.Window | None = None) -> np.ndarray:
    """Read the bands of a file, or a window of them, as (H, W, C): the stored numbers, upright."""
    with _naming(path):
        if tiff.is_raster(path):
            array, window = tiff.read_raster(path, window, shown=False), None
        else:
            array = _read_whole(path)
    array = array.astype(np.uint8) if array.dtype == bool else array
    return cut(array[..., None] if array.ndim == 2 else array, window)


def cut(array: np.ndarray, window: tiff.Window | None) -> np.ndarray:
    """Return the window of an array (H, W) or (H, W, C); without a window, all of it."""
    if window is None:
        return array
    rows, columns = window.row + window.height, window.column + window.width
    return array[window.row : rows, window.column : columns]


def fit_channels(array: np.ndarray, in_channels: int, path: Path) -> np.ndarray:
    """Convert an image (H, W) or (H, W, C) to (H, W, in_channels) if that loses nothing."""
    array = array[..., None] if array.ndim == 2 else array
    channels = array.shape[2]
    for bands in (array, _without_alpha(array, path)):
        if bands.shape[2] == in_channels:
            return bands
        if bands.shape[2] == 1 and in_channels == 3:
            return np.repeat(bands, 3, axis=2)
    raise InputError(
        f"{path} has {channels} channel(s), but {in_channels} are expected. "
        f"Convert the image, or set in_channels to {channels} if the dataset has that setting."
    )


def label_colors(array: np.ndarray, path: Path) -> np.ndarray:
    """Return a label array (H, W) or (H, W, C) as RGB (H, W, 3) uint8."""
    if array.dtype != np.uint8:
        raise InputError(
            f"{path}: colour labels must have 8 bits a channel, this file has {array.dtype}. "
            "Save it with 8 bits."
        )
    array = array[..., None] if array.ndim == 2 else array
    return np.repeat(array[..., :1], 3, axis=2) if array.shape[2] < 3 else array[..., :3]


def _label_ids(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 2:
        return array
    shown = _without_alpha(array, path)
    if shown.shape[2] not in (1, 3):
        raise InputError(
            f"{path} has {array.shape[2]} bands, but class ids are expected in one. If it has a "
            "band for each class, set multi_label; otherwise save it with one band of ids."
        )
    if (shown != shown[..., :1]).any():
        row, column = np.argwhere((shown != shown[..., :1]).any(axis=2))[0]
        raise InputError(
            f"{path} is a colour label (for instance {tuple(shown[row, column].tolist())} at row "
            f"{row}, column {column}), but class ids are expected. Give the colour of each class "
            "as palette, or save the label with one channel of ids."
        )
    return shown[..., 0]


def _without_alpha(array: np.ndarray, path: Path) -> np.ndarray:
    """Return an array (H, W, C) read from a file without its alpha channel, if it has one."""
    channels = array.shape[2]
    alpha = tiff.has_alpha(path) if tiff.is_raster(path) else channels in (2, 4)
    return array[..., :-1] if alpha else array


def _read_whole(
    path: Path,
    convert: Callable[[Image.Image], Image.Image] | None = None,
    in_8_bits: bool = False,
) -> np.ndarray:
    """Read a file that is no raster, upright; ``convert`` is for those of 8 bits a channel."""
    with _open(path) as image:
        _refuse_wrong_checksum(path)
        if _has_16_bit_colours(path) and not in_8_bits:
            return _read_16_bit_colours(path)
        return np.asarray(ImageOps.exif_transpose(convert(image) if convert else image))


def _open(path: Path) -> Image.Image:
    """Open an image file that may be decoded whole."""
    with path.open("rb") as file:
        first = file.read(8)
    reader = next((opener for magic, opener in _READERS.items() if first.startswith(magic)), None)
    if reader is None:
        raise OSError("of no known format")
    image = reader(path, str(path))
    try:
        size = 2 if image.mode.startswith("I;16") or _has_16_bit_colours(path) else 1
        size = 4 if image.mode in ("I", "F") else size
        refuse_too_large(path, image.height, image.width, size * len(image.getbands()))
    except InputError:
        image.close()
        raise
    return image


def _refuse_wrong_checksum(path: Path) -> None:
    """Raise OSError if a PNG is cut off, or a chunk does not match its checksum.

    Pillow and OpenCV do not compare the checksums of pixels.
    """
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return
        left, kind = path.stat().st_size - len(_PNG), b""
        while kind != b"IEND":
            length, kind = int.from_bytes(file.read(4)), file.read(4)
            left -= length + 12
            if left < 0:
                raise OSError("it is cut off")
            checksum = zlib.crc32(file.read(length), zlib.crc32(kind))
            if checksum != int.from_bytes(file.read(4)):
                raise OSError(
                    f"the checksum of its chunk {kind.decode('ascii', 'replace')} differs"
                )


def _has_16_bit_colours(path: Path) -> bool:
    """Return True for a PNG of several 16-bit channels, which Pillow would cut to 8 bits."""
    with path.open("rb") as file:
        header = file.read(26)
    grey = 0
    return header[:8] == _PNG and header[24:25] == b"\x10" and header[25] != grey


def _read_16_bit_colours(path: Path) -> np.ndarray:
    # From memory, because OpenCV cannot open every path that Python can.
    array = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise OSError("its 16-bit pixels cannot be decoded")
    if array.ndim == 2:
        return array
    alpha = array.shape[2] == 4
    return cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA if alpha else cv2.COLOR_BGR2RGB)


def _plain(image: Image.Image) -> Image.Image:
    """Convert the image to a mode whose array holds grey levels, RGB or RGBA."""
    if image.mode in ("RGB", "RGBA", *_GRAY_MODES):
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _plain_ids(image: Image.Image) -> Image.Image:
    """Convert like `_plain`, but keep indices of a palette and bits."""
    return image if image.mode in ("P", "1") else _plain(image)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Convert the errors of image libraries to one error that names the file."""
    if not os.path.isfile(path):  # unlike Path.is_file, also for names that are too long
        raise InputError(f"{path} does not exist. Put the file there, or correct the path.")
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path} needs more memory than there is{_cause(error)}. Free some, or cut the image "
            "into tiles."
        ) from error
    except Exception as error:  # whatever a decoder stumbles over, the file is to blame
        raise InputError(
            f"{path} cannot be read as an image{_cause(error)}: it is not an image, damaged or cut "
            "off. Download or export the file again, or remove it from the folder."
        ) from error


def _cause(error: Exception) -> str:
    """Describe an error of an image library in brackets, in one line."""
    if isinstance(error, IndexError):
        return " (no image in it)"
    actual = error.__cause__ or error  # rasterio chains it
    words = " ".join(str(actual).split()) or type(actual).__name__
    return f" ({words[:_LONGEST_CAUSE]})"
