"""TIFF, JPEG 2000 and VRT rasters, read whole or by window without decoding the rest.

rasterio (``pip install 'lightning_seg[geo]'``) reads every compression. Without it, tifffile reads
uncompressed, Deflate and PackBits files by window, and Pillow reads LZW files whole. All three
return the stored numbers; orientation, colour map and white-is-zero are applied here, so results
agree. The header's sizes are checked first: no reader allocates what the file cannot hold. JPEG
2000 and VRT need rasterio.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile
from PIL.TiffImagePlugin import TiffImageFile

from lightning_seg.data.reading.limits import refuse_too_large
from lightning_seg.errors import InputError, install

try:
    import rasterio
    import rasterio.windows
    from rasterio.enums import ColorInterp, MaskFlags
except ImportError:  # optional: most files can be read without it
    rasterio = None


# GDAL's driver of each suffix; it would go by the content, which may be of any format.
_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG", ".vrt": "VRT"}
# GDAL's usual nodata value of floats is -3.4e38.
_NO_MEASUREMENT = 1e30
RASTER_SUFFIXES = tuple(_DRIVERS)

REMOTE_VARIABLE = "LIGHTNING_SEG_REMOTE_RASTERS"
# A second barrier to that of `_refuse_addresses`: no name is allowed, and the proxies lead nowhere.
_NO_NETWORK = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTPS_PROXY": "127.0.0.1:9",
}
# First bytes of TIFF, BigTIFF, JPEG 2000 (file and code stream), PNG and JPEG.
_MAGIC = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
)  # fmt: skip
# VRTs that name no address, with the states of all VRTs that they name.
_checked: dict[Path, dict[Path, tuple[int, ...]]] = {}
_MOST_CHECKED = 10_000

# Of TIFF's tag Orientation: whether rows and columns are exchanged, and then whether the rows and
# the columns are reversed, to bring the raster upright.
_TO_UPRIGHT = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class NeedsRasterio(InputError):
    """A compression that cannot be read, or not by window, without rasterio."""


class Window(NamedTuple):
    """A rectangle of pixels: its upper left corner and its size."""

    row: int
    column: int
    height: int
    width: int


class _Header(NamedTuple):
    """Pixel layout of a file; height and width as stored.

    ``segment`` is the height and width of a strip or tile. ``table`` (entries,) or (entries, 3)
    uint8 maps stored numbers to displayed values. It is None if they are equal, or inverted by
    ``white_is_0``.
    """

    height: int
    width: int
    samples: int
    bytes_per_pixel: int
    segment: tuple[int, int]
    exchanged: bool
    rows_reversed: bool
    columns_reversed: bool
    table: np.ndarray | None
    white_is_0: bool
    has_alpha: bool
    is_float: bool


class _Absence(NamedTuple):
    """How a raster tells where it has no data, besides alpha: by a value, or by its own mask."""

    value: float | None
    has_mask: bool


def is_raster(path: Path) -> bool:
    """Return True if the file's suffix is that of a raster that is read by window."""
    return path.suffix.lower() in RASTER_SUFFIXES


def is_tiff(path: Path) -> bool:
    """Return True if the file's suffix is that of a TIFF."""
    return _DRIVERS.get(path.suffix.lower()) == "GTiff"


def raster_size(path: Path) -> tuple[int, int]:
    """Return the height and width of the upright raster in pixels, from the header alone."""
    return _upright_size(_header(path))


def rows_decoded_at_once(path: Path) -> int:
    """Return the number of rows of the upright raster that are decoded together."""
    if not is_tiff(path):
        return _header(path).segment[0]
    with _first_page(path) as page:
        if _TO_UPRIGHT.get(page.tags.valueof("Orientation", 1), _TO_UPRIGHT[1])[0]:
            return page.imagewidth
        if page.compression == tifffile.COMPRESSION.NONE and not page.is_tiled:
            return 1
        return min(_segment(page)[0], page.imagelength)


def read_raster(path: Path, window: Window | None = None, shown: bool = True) -> np.ndarray:
    """Read (H, W) or (H, W, C) in the file's dtype, upright by its tag Orientation.

    Args:
        path: A raster file.
        window: The part to read, inside the upright raster; all of it by default.
        shown: Returns displayed values: the RGB colours of a colour map, and grey levels where 0 is
            black even if 0 is white in the file. Otherwise returns stored numbers, such as class
            ids.
    """
    header = _header(path)
    area = None if window is None else _stored(header, window)
    height, width = (header.height, header.width) if area is None else area[2:]
    for size in ((height, width), header.segment):
        refuse_too_large(path, *size, header.bytes_per_pixel)
    read = _read_with_tifffile if is_tiff(path) and rasterio is None else _read_with_rasterio
    pixels = _upright(read(path, area), header)
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    return _displayed(pixels, header) if shown else pixels


def read_filled(path: Path, window: Window | None = None) -> np.ndarray:
    """Read displayed values like `read_raster`, filled where there are no data.

    Where a band has none, floats are NaN, and signed integers the lowest number of their type.
    Unsigned integers are 0 where all bands have none: in a single band, their nodata value, such as
    255, may be a bright pixel.
    """
    header, stored = _header(path), read_raster(path, window, shown=False)
    empty, pixels = _empty(stored, _absence(path)), _displayed(stored, header)
    if stored.ndim == 3 and stored.dtype.kind in "iu":
        bands = empty[..., :-1] if header.has_alpha else empty
        if stored.dtype.kind == "u":
            bands[:] = bands.all(axis=2, keepdims=True)
        if header.has_alpha:
            empty[..., -1] = False
    if not empty.any():
        return pixels
    if np.issubdtype(pixels.dtype, np.floating):
        return np.where(empty, np.float32(np.nan), pixels)
    empty = empty if empty.ndim == pixels.ndim else empty[..., None]
    return np.where(empty, np.iinfo(pixels.dtype).min, pixels).astype(pixels.dtype)


def has_alpha(path: Path) -> bool:
    """Return True if the last band is alpha, as its header says."""
    return _header(path).has_alpha


def no_data_value(path: Path) -> float | None:
    """Return the number that means no data, as the header says."""
    return _absence(path).value


def band_names(path: Path) -> tuple[str, ...]:
    """Return the names of a raster's bands; none unless all have one, and none without rasterio."""
    if rasterio is None:
        return ()
    with opened(path) as source:
        names = source.descriptions
    return tuple(names) if all(names) else ()


def files_of(path: Path) -> list[Path]:
    """Return the files that an image is read from: also those that its VRT names, and masks."""
    files = [path]
    for file in files:  # which grows
        others = _beside(file)
        if file.suffix.lower() == ".vrt":
            with opened(file) as source:
                others += filter(Path.is_file, map(Path, source.files))
        files += [other for other in others if other not in files]
    return files


def no_data(path: Path, channels: int, window: Window | None = None) -> np.ndarray | None:
    """Return where a raster, or a window of it, has no data (H, W) bool; None if it has all.

    No data are the header's nodata value, and in floats numbers beyond 1e30, in all bands; NaN in
    any band; alpha 0, unless alpha is one of the ``channels`` in use; and, where rasterio is
    installed, what the raster's own mask excludes.
    """
    if not may_lack_data(path, channels):
        return None
    header, absence = _header(path), _absence(path)
    masked = _own_mask(path, header, window) if absence.has_mask else None
    if absence.value is None and not header.is_float and not _uses_alpha(header, channels):
        return masked
    pixels = read_raster(path, window, shown=False)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    bands = pixels[..., :-1] if header.has_alpha else pixels
    empty = np.asarray(_empty(bands, absence).all(axis=2))
    if header.is_float:
        empty |= np.isnan(bands).any(axis=2)
    if _uses_alpha(header, channels):
        empty |= pixels[..., -1] == 0
    return empty if masked is None else empty | masked


def may_lack_data(path: Path, channels: int) -> bool:
    """Return whether `no_data` may find pixels without data, by the header alone."""
    header, absence = _header(path), _absence(path)
    by_value = absence.value is not None or header.is_float
    return by_value or absence.has_mask or _uses_alpha(header, channels)


def _uses_alpha(header: _Header, channels: int) -> bool:
    """Return whether alpha tells where data are missing: unless it is a channel in use."""
    return header.has_alpha and channels != header.samples


def _empty(pixels: np.ndarray, absence: _Absence) -> np.ndarray:
    """Return which stored numbers are none, in the shape of the pixels."""
    is_float, value = np.issubdtype(pixels.dtype, np.floating), absence.value
    empty = ~(np.abs(pixels) < _NO_MEASUREMENT) if is_float else np.zeros(pixels.shape, bool)
    if value is not None and np.isfinite(value):
        # The header may hold fewer digits than the pixels.
        near = 1e-6 * abs(value)
        same = np.abs(pixels.astype(np.float64) - value) <= near if is_float else pixels == value
        empty |= same
    return empty


def _own_mask(path: Path, header: _Header, window: Window | None) -> np.ndarray:
    area = None if window is None else _stored(header, window)
    with opened(path) as source:
        valid = source.read_masks(1, window=_in_rasterio(area))
    return _upright(valid, header) == 0


def _absence(path: Path) -> _Absence:
    return _absence_in_state(path, tuple(map(_state, [path, *_beside(path)])))


@lru_cache(maxsize=4096)
def _absence_in_state(path: Path, states: tuple[tuple[int, ...], ...]) -> _Absence:
    if rasterio is None:
        with _first_page(path) as page:
            return _Absence(_number(page.tags.valueof("GDAL_NODATA")), has_mask=False)
    with opened(path) as source:
        flags = source.mask_flag_enums[0]
        has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        return _Absence(source.nodata, has_mask)


def _beside(path: Path) -> list[Path]:
    """Return the files beside a raster that may tell where it has no data."""
    files = (Path(f"{path}{ending}") for ending in (".msk", ".aux.xml"))
    return [file for file in files if file.is_file()]


def _displayed(pixels: np.ndarray, header: _Header) -> np.ndarray:
    if header.table is not None:
        return header.table[pixels]
    if header.white_is_0 and np.issubdtype(pixels.dtype, np.unsignedinteger):
        return np.iinfo(pixels.dtype).max - pixels
    return pixels


def _number(text: object) -> float | None:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def _ends_with_alpha(extra: tuple[int, ...]) -> bool:
    associated, unassociated = 1, 2
    return bool(extra) and extra[-1] in (associated, unassociated)


@contextmanager
def _first_page(path: Path) -> Iterator[tifffile.TiffPage]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        _refuse_impossible(page)
        yield page


def _refuse_impossible(page: tifffile.TiffPage) -> None:
    """Raise if sizes in the header are no sizes, or stand for more data than the file holds."""
    sizes = {
        "ImageLength": page.imagelength,
        "ImageWidth": page.imagewidth,
        "SamplesPerPixel": page.samplesperpixel,
        "BitsPerSample": page.bitspersample,
    }
    if page.is_tiled:
        sizes |= {"TileLength": page.tilelength, "TileWidth": page.tilewidth}
    else:
        sizes["RowsPerStrip"] = page.rowsperstrip
    for name, value in sizes.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"{name} is {str(value)[:40]}")
    if page.imagedepth != 1:
        raise ValueError(f"ImageDepth is {str(page.imagedepth)[:40]}, only 1 is read")
    height, width = _segment(page)
    planes = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
    needed = planes * -(-page.imagelength // height) * -(-page.imagewidth // width)
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    if listed < needed:
        raise ValueError(f"{listed} strips or tiles are listed, {needed} are needed")
    # YCbCr may have fewer colour samples than pixels, and some rasters list no data where empty.
    if page.compression != tifffile.COMPRESSION.NONE or not all(page.databytecounts):
        return
    bits = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample
    if page.photometric != tifffile.PHOTOMETRIC.YCBCR and bits // 8 > page.parent.filehandle.size:
        raise ValueError(f"its pixels take {bits // 8} bytes, the file is shorter: cut off")


def _segment(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return the height and width of a strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _header(path: Path) -> _Header:
    return _header_in_state(path, _state(path))


@lru_cache(maxsize=4096)
def _header_in_state(path: Path, state: tuple[int, ...]) -> _Header:
    """Return the header of a file that has not changed since; reading it again takes 1 ms."""
    if not is_tiff(path):
        return _header_by_gdal(path)
    with _first_page(path) as page:
        orientation = page.tags.valueof("Orientation", 1)
        return _Header(
            page.imagelength,
            page.imagewidth,
            page.samplesperpixel,
            page.samplesperpixel * -(-page.bitspersample // 8),
            _segment(page),
            *_TO_UPRIGHT.get(orientation, _TO_UPRIGHT[1]),
            table=_table(page),
            white_is_0=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
            has_alpha=page.samplesperpixel > 1 and _ends_with_alpha(page.extrasamples),
            is_float=page.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP,
        )


def _header_by_gdal(path: Path) -> _Header:
    with opened(path) as source:
        height, width = source.shape
        rows, columns = source.block_shapes[0]
        table = None
        if source.colorinterp[0] == ColorInterp.palette:
            colors = source.colormap(1)
            table = np.array([colors[index][:3] for index in sorted(colors)], np.uint8)
        return _Header(
            height,
            width,
            source.count,
            source.count * np.dtype(source.dtypes[0]).itemsize,
            (min(rows, height), min(columns, width)),
            *_TO_UPRIGHT[1],
            table=table,
            white_is_0=False,
            has_alpha=source.colorinterp[-1] == ColorInterp.alpha,
            is_float=np.issubdtype(np.dtype(source.dtypes[0]), np.floating),
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a raster with rasterio, by the driver of its suffix alone.

    A VRT may name anything but files of pixels only with LIGHTNING_SEG_REMOTE_RASTERS=1.
    """
    if rasterio is None:
        raise NeedsRasterio(f"{path} needs rasterio: {install('geo')}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        trusted = os.environ.get(REMOTE_VARIABLE) == "1"
        if path.suffix.lower() == ".vrt" and not trusted:
            _refuse_addresses(path)
        with (
            rasterio.Env(**({} if trusted else _NO_NETWORK)),
            rasterio.open(path, driver=_DRIVERS[path.suffix.lower()]) as source,
        ):
            yield source


def _refuse_addresses(path: Path) -> None:
    """Raise if a VRT, or a VRT that it names, reads anything but files of pixels.

    A VRT may name addresses, and files that name them, which GDAL would open.
    """
    if path in _checked and all(_state(vrt) == state for vrt, state in _checked[path].items()):
        return
    visited: dict[Path, tuple[int, ...]] = {}
    waiting = [path]
    while waiting:
        vrt = waiting.pop()
        if vrt in visited:
            continue
        visited[vrt] = _state(vrt)
        for element in ElementTree.parse(vrt).iter():
            tag = element.tag.rpartition("}")[2].lower()
            text = (element.text or "").strip()
            key = element.get("key", "").lower()
            # Other metadata are for people and may hold the address of a licence.
            spoken = tag == "mdi" and not key.endswith("dataset")
            values = [] if spoken else [text, *element.attrib.values()]
            if address := next((v for v in values if "/vsi" in v or "://" in v), None):
                raise ValueError(f"it names {address!r}, which is not a file")
            if tag not in ("sourcefilename", "sourcedataset"):
                continue
            file = vrt.parent / text if element.get("relativeToVRT") == "1" else Path(text)
            if not file.is_file():
                raise ValueError(f"it names {text!r}, which is not a file")
            if file.suffix.lower() == ".vrt":
                waiting.append(file.resolve())
            elif not _holds_pixels(file):
                raise ValueError(f"it names {text!r}, which is no TIFF, JPEG 2000, PNG or JPEG")
    if len(_checked) >= _MOST_CHECKED:
        _checked.clear()
    _checked[path] = visited


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _holds_pixels(path: Path) -> bool:
    """Return whether a file starts like an image that names no other files."""
    with path.open("rb") as file:
        return file.read(12).startswith(_MAGIC)


def _table(page: tifffile.TiffPage) -> np.ndarray | None:
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        # Colour maps have 16 bits; some programs write 8.
        colors = page.colormap.T
        return (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
    if page.bitspersample == 1 and page.samplesperpixel == 1:
        white_is_0 = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        return np.array([255, 0] if white_is_0 else [0, 255], np.uint8)
    return None


def _upright_size(header: _Header) -> tuple[int, int]:
    size = header.height, header.width
    return size[::-1] if header.exchanged else size


def _stored(header: _Header, window: Window) -> Window:
    """Return the stored position of a window of the upright raster."""
    row, column, height, width = window
    rows, columns = _upright_size(header)
    row = rows - row - height if header.rows_reversed else row
    column = columns - column - width if header.columns_reversed else column
    if header.exchanged:
        return Window(column, row, width, height)
    return Window(row, column, height, width)


def _upright(pixels: np.ndarray, header: _Header) -> np.ndarray:
    pixels = pixels.swapaxes(0, 1) if header.exchanged else pixels
    pixels = pixels[::-1] if header.rows_reversed else pixels
    pixels = pixels[:, ::-1] if header.columns_reversed else pixels
    return np.ascontiguousarray(pixels)


def _read_with_rasterio(path: Path, window: Window | None) -> np.ndarray:
    with opened(path) as source:
        size = source.shape if window is None else window[2:]
        pixels = np.empty((*size, source.count), source.dtypes[0])
        source.read(window=_in_rasterio(window), out=pixels.transpose(2, 0, 1))
    return pixels[..., 0] if source.count == 1 else pixels


def _in_rasterio(window: Window | None) -> Any:
    if window is None:
        return None
    return rasterio.windows.Window(window.column, window.row, window.width, window.height)


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
    """Copy the part of a block at (top, left) that lies inside the area."""
    first_row, first_column = max(top, area.row), max(left, area.column)
    last_row = min(top + block.shape[0], area.row + area.height)
    last_column = min(left + block.shape[1], area.column + area.width)
    result[
        first_row - area.row : last_row - area.row,
        first_column - area.column : last_column - area.column,
    ] = block[first_row - top : last_row - top, first_column - left : last_column - left]


def _segments_in(page: tifffile.TiffPage, area: Window) -> list[int]:
    """Return the indices of the strips or tiles that touch the window, in every plane."""
    height, width = _segment(page)
    down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
    rows = range(area.row // height, (area.row + area.height - 1) // height + 1)
    columns = range(area.column // width, (area.column + area.width - 1) // width + 1)
    planes = range(page.shaped[0])
    return [(p * down + r) * across + c for p in planes for r in rows for c in columns]


def _read_with_pillow(path: Path, page: tifffile.TiffPage, window: Window | None) -> np.ndarray:
    # Pillow rotates and inverts some rasters itself, depending on its version.
    plain = page.photometric != tifffile.PHOTOMETRIC.MINISWHITE
    plain = plain and page.tags.valueof("Orientation", 1) == 1
    if window is not None or page.samplesperpixel > 4 or not plain:
        compression = tifffile.COMPRESSION(page.compression).name
        raise NeedsRasterio(
            f"{path} is compressed with {compression}, which needs rasterio here: "
            f"{install('geo')}, or save the file uncompressed or with Deflate."
        )
    with TiffImageFile(path) as image:  # Image.open has a limit of pixels of its own
        return np.asarray(image)
