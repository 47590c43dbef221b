"""TIFF rasters, read whole or by window without decoding what lies outside the window.

rasterio (``pip install 'lightning_seg[geo]'``) reads every compression. Without it, tifffile reads
uncompressed, Deflate and PackBits files by window, and Pillow reads LZW files whole.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from lightning_seg.errors import InputError

try:
    import rasterio
    import rasterio.windows
except ImportError:  # an extra: most people's files can be read without it
    rasterio = None


class Window(NamedTuple):
    """A rectangle of pixels: its upper left corner and its size."""

    row: int
    column: int
    height: int
    width: int


def is_raster(path: Path) -> bool:
    """Whether the file is read as a raster, by its suffix."""
    return path.suffix.lower() in (".tif", ".tiff")


def raster_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, from the header alone."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return page.imagelength, page.imagewidth


def read_raster(path: Path, window: Window | None = None) -> np.ndarray:
    """Reads (H, W) or (H, W, C) in the file's own type; ``window`` must lie inside the raster.

    Raises:
        OSError | ValueError: The file is damaged or cut off.
        InputError: It needs rasterio.
    """
    if rasterio is not None:
        return _read_with_rasterio(path, window)
    return _read_with_tifffile(path, window)


def _read_with_rasterio(path: Path, window: Window | None) -> np.ndarray:
    area = None
    if window is not None:
        area = rasterio.windows.Window(window.column, window.row, window.width, window.height)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            bands = source.read(window=area)
    return bands[0] if len(bands) == 1 else np.ascontiguousarray(bands.transpose(1, 2, 0))


def _read_with_tifffile(path: Path, window: Window | None) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        area = window or Window(0, 0, page.imagelength, page.imagewidth)
        if page.is_contiguous and page.planarconfig == tifffile.PLANARCONFIG.CONTIG:
            return _read_mapped(path, page, area)
        try:
            return _read_segments(page, area)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _read_with_pillow(path, page, window)


def _read_mapped(path: Path, page: tifffile.TiffPage, area: Window) -> np.ndarray:
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    mapped = np.memmap(path, dtype, mode="r", offset=page.dataoffsets[0], shape=page.shape)
    part = mapped[area.row : area.row + area.height, area.column : area.column + area.width]
    return part.astype(page.dtype, order="C")


def _read_segments(page: tifffile.TiffPage, area: Window) -> np.ndarray:
    planes, channels = page.shaped[0], page.shaped[4]
    result = np.zeros((area.height, area.width, planes * channels), page.dtype)
    file = page.parent.filehandle
    for index in _segments_in(page, area):
        file.seek(page.dataoffsets[index])
        encoded = file.read(page.databytecounts[index])
        if len(encoded) < page.databytecounts[index]:
            raise OSError(f"strip or tile {index} is cut off")
        block, (plane, _, top, left, _), _ = page.decode(encoded, index, jpegtables=page.jpegtables)
        assert block is not None, "only empty data decode to None"
        bands = slice(plane * channels, (plane + 1) * channels)
        _paste(result[..., bands], area, block[0], top, left)
    return result[..., 0] if result.shape[2] == 1 else result


def _paste(result: np.ndarray, area: Window, block: np.ndarray, top: int, left: int) -> None:
    """Copies the part of a block at (top, left) that lies inside the area."""
    first_row, first_column = max(top, area.row), max(left, area.column)
    last_row = min(top + block.shape[0], area.row + area.height)
    last_column = min(left + block.shape[1], area.column + area.width)
    result[
        first_row - area.row : last_row - area.row,
        first_column - area.column : last_column - area.column,
    ] = block[first_row - top : last_row - top, first_column - left : last_column - left]


def _segments_in(page: tifffile.TiffPage, area: Window) -> list[int]:
    """Indices of the strips or tiles that touch the window, in every plane."""
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
    else:
        height, width = page.rowsperstrip, page.imagewidth
    down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
    rows = range(area.row // height, (area.row + area.height - 1) // height + 1)
    columns = range(area.column // width, (area.column + area.width - 1) // width + 1)
    planes = range(page.shaped[0])
    return [(p * down + r) * across + c for p in planes for r in rows for c in columns]


def _read_with_pillow(path: Path, page: tifffile.TiffPage, window: Window | None) -> np.ndarray:
    if window is not None or page.samplesperpixel > 4:
        compression = tifffile.COMPRESSION(page.compression).name
        raise InputError(
            f"{path} is compressed with {compression}, which needs rasterio here: "
            "pip install 'lightning_seg[geo]', or save the file uncompressed or with Deflate."
        )
    with Image.open(path) as image:
        return np.asarray(image)
