"""GeoTIFFs written from top to bottom, lying where the image lies that they belong to."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_seg.errors import InputError

try:
    import rasterio
    from rasterio.enums import ColorInterp, MaskFlags
    from rasterio.windows import Window
except ImportError:  # an extra: plain images are predicted without it
    rasterio = None

_BLOCK = 256
_UPRIGHT = 1
_ORIENTATION = 274
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory.
_PLACES = (33550, 33922, 34264, 34735)


@dataclass(frozen=True)
class Georeference:
    """Where an image lies, and whether it has pixels without data.

    Args:
        path: The image.
        profile: What rasterio is given for a raster in the same place.
        has_nodata: Whether the image marks pixels as without data.
    """

    path: Path
    profile: dict[str, Any] = field(default_factory=dict)
    has_nodata: bool = False

    def valid(self, row: int, rows: int) -> np.ndarray:
        """Whether pixels of some rows have data, (rows, W) bool."""
        with quietly(), rasterio.open(self.path) as source:
            return source.dataset_mask(window=Window(0, row, source.width, rows)) > 0


def read_georeference(path: Path) -> Georeference:
    """Reads it from an image's header; an image that is stored turned has none of use."""
    need_rasterio("A georeferenced raster")
    with quietly(), rasterio.open(path) as source:
        if is_turned(path):
            return Georeference(path)
        profile: dict[str, Any] = {"crs": source.crs}
        points, points_crs = source.gcps
        if not source.transform.is_identity:
            profile["transform"] = source.transform
        elif points:
            profile |= {"gcps": points, "crs": points_crs}
        return Georeference(path, profile, _has_nodata(source))


class GeoTiff:
    """A tiled, Deflate-compressed TIFF that is written some rows at a time.

    Args:
        path: The file to write.
        shape: Bands, height and width.
        dtype: NumPy's name of the type; ``float16`` is stored with 16 bits and read as float32.
        place: Where the raster lies.
        nodata: The number that stands for no data, where there is such.
        colors: RGB colours of the numbers from 0 on, of a single band.
        descriptions: A name for each band.
        scale: What numbers are to be multiplied with.
        tags: Further texts for the header.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: str,
        place: Georeference,
        *,
        nodata: int | None = None,
        colors: Sequence[tuple[int, int, int]] = (),
        descriptions: Sequence[str] = (),
        scale: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        bands, self._height, width = shape
        half = dtype == "float16"
        self._dtype = np.dtype("float32" if half else dtype)
        self._row = 0
        self._waiting = np.empty((bands, 0, width), self._dtype)
        with quietly():
            self._file = rasterio.open(
                path,
                "w",
                driver="GTiff",
                count=bands,
                height=self._height,
                width=width,
                dtype=self._dtype.name,
                nodata=nodata,
                tiled=True,
                blockxsize=_BLOCK,
                blockysize=_BLOCK,
                compress="deflate",
                interleave="band",
                BIGTIFF="IF_SAFER",
                **({"NBITS": 16} if half else {}),
                **place.profile,
            )
        if colors:
            entries = {value: (*color, 255) for value, color in enumerate(colors)}
            self._file.write_colormap(1, entries | ({} if nodata is None else {nodata: (0,) * 4}))
        if descriptions:
            self._file.descriptions = tuple(descriptions)
        if scale is not None:
            self._file.scales = (scale,) * bands
        if tags:
            self._file.update_tags(**tags)

    def write(self, rows: np.ndarray) -> None:
        """Adds rows (bands, rows, W) below those written before."""
        waiting = np.concatenate([self._waiting, rows.astype(self._dtype, copy=False)], axis=1)
        # Compressed blocks are written once: what fills no whole row of them waits.
        last = self._row + waiting.shape[1] == self._height
        ready = waiting.shape[1] if last else waiting.shape[1] // _BLOCK * _BLOCK
        if ready:
            area = Window(0, self._row, waiting.shape[2], ready)
            self._file.write(waiting[:, :ready], window=area)
            self._row += ready
        self._waiting = waiting[:, ready:].copy()

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def need_rasterio(what: str) -> None:
    """Refuses to go on without rasterio.

    Raises:
        InputError: It is not installed.
    """
    if rasterio is None:
        raise InputError(f"{what} needs rasterio: pip install 'lightning_seg[geo]'")


def has_place(path: Path) -> bool:
    """Whether a TIFF says where it lies, in its header or in a world file; needs no rasterio."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        in_header = any(tag in tiff.pages.first.tags for tag in _PLACES)
    return in_header or path.with_suffix(".tfw").is_file()


def is_turned(path: Path) -> bool:
    """Whether a TIFF is stored other than upright."""
    return _orientation(path) != _UPRIGHT


@contextmanager
def quietly() -> Iterator[None]:
    """Without rasterio's warning that an image has no place on earth, for many have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


@contextmanager
def small_cache() -> Iterator[None]:
    """Lets GDAL keep 64 MB of blocks, where it would take a twentieth of the machine's memory."""
    if rasterio is None:
        yield
        return
    with rasterio.Env(GDAL_CACHEMAX=64 << 20):
        yield


def _orientation(path: Path) -> int:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return tiff.pages.first.tags.valueof(_ORIENTATION, _UPRIGHT)


def _has_nodata(source: Any) -> bool:
    """Whether a value or a mask of its own says so; a fourth band is more often infrared."""
    flags = source.mask_flag_enums[0]
    if MaskFlags.nodata in flags:
        return True
    return MaskFlags.per_dataset in flags and ColorInterp.alpha not in source.colorinterp
