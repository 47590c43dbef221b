"""GeoTIFFs that are written from top to bottom, with the georeference of their image."""

import errno
import glob
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from lightning_seg.data.reading.tiff import is_raster, is_tiff, opened
from lightning_seg.errors import InputError, install

try:
    import rasterio
    import rasterio.shutil
    from rasterio._err import CPLE_BaseError
    from rasterio.windows import Window
except ImportError:  # optional: plain images are predicted without it
    rasterio = None

_BLOCK = 256
_UPRIGHT = 1
_ORIENTATION = 274
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, RPCCoefficient.
_GEOREFERENCE_TAGS = (33550, 33922, 34264, 34735, 50844)
# Suffixes of world files of images that are no TIFFs.
_WORLD_FILES = (".pgw", ".pngw", ".jgw", ".jpgw", ".bpw", ".wld")


def read_georeference(path: Path) -> dict[str, Any]:
    """Read the georeference from an image's header; empty for images not stored upright.

    Returns:
        rasterio profile entries (CRS, transform, ground control points or rational polynomials,
        RPCs) for a raster with the same georeference.
    """
    need_rasterio("A georeferenced raster")
    with opened(path) as source:
        if is_rotated(path):
            return {}
        profile: dict[str, Any] = {"crs": source.crs}
        points, points_crs = source.gcps
        if not source.transform.is_identity:
            profile["transform"] = source.transform
        elif points:
            profile |= {"gcps": points, "crs": points_crs}
        if source.rpcs is not None:
            profile["rpcs"] = source.rpcs
        return profile


class GeoTiff:
    """A tiled, Deflate-compressed TIFF that is written a few rows at a time.

    Args:
        path: The file to write.
        shape: Number of bands, height and width.
        dtype: NumPy dtype name; ``float16`` is stored with 16 bits and read as float32.
        georeference: Profile entries of its georeference, see `read_georeference`.
        nodata: The nodata value, if any.
        colors: Colour table of a single-band file: RGB colours of the values from 0.
        descriptions: One name per band.
        scale: Factor that readers multiply pixel values by.
        tags: Additional metadata for the header.
        overviews: How overviews are computed; the file is then made a cloud-optimised one when it
            is closed. None writes no overviews.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: str,
        georeference: Mapping[str, Any],
        *,
        nodata: int | None = None,
        colors: Sequence[tuple[int, int, int]] = (),
        descriptions: Sequence[str] = (),
        scale: float | None = None,
        tags: Mapping[str, str] | None = None,
        overviews: Literal["mode", "average"] | None = None,
    ) -> None:
        self._path = path
        self._overviews = overviews
        bands, self._height, width = shape
        half = dtype == "float16"
        self._options = {"compress": "deflate", "BIGTIFF": "IF_SAFER"}
        self._options |= {"NBITS": "16"} if half else {}
        # By default three bands of bytes are colours, and a fourth is opacity.
        plain = {"photometric": "minisblack", "alpha": "no"} if bands > 1 else {}
        self._dtype = np.dtype("float32" if half else dtype)
        self._row = 0
        self._waiting = np.empty((bands, 0, width), self._dtype)
        with georeference_optional(), _as_os_error(path):
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
                interleave="band",
                **self._options,
                **plain,
                **georeference,
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
        """Append rows (bands, rows, W) below the previous ones.

        Raises:
            OSError: The rows cannot be written.
        """
        waiting = np.concatenate([self._waiting, rows.astype(self._dtype, copy=False)], axis=1)
        # A compressed block is written only once, so rows wait until they fill a row of blocks.
        last = self._row + waiting.shape[1] == self._height
        ready = waiting.shape[1] if last else waiting.shape[1] // _BLOCK * _BLOCK
        if ready:
            area = Window(0, self._row, waiting.shape[2], ready)
            with _as_os_error(self._path):
                self._file.write(waiting[:, :ready], window=area)
            self._row += ready
        self._waiting = waiting[:, ready:].copy()

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: The file is incomplete, such as on a full disk, which GDAL ignores here.
        """
        with _as_os_error(self._path):
            self._file.close()
            if self._overviews is not None:
                self._optimize(self._overviews)
            with tifffile.TiffFile(self._path) as file:
                ends = [
                    o + n
                    for p in file.pages
                    for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)
                ]
                size = file.filehandle.size
        if max(ends, default=0) > size:
            raise OSError(errno.EIO, "the file is incomplete; is the disk full?", str(self._path))

    def abandon(self) -> None:
        """Close a file that will not be used."""
        with _as_os_error(self._path):
            self._file.close()

    def _optimize(self, overviews: str) -> None:
        """Replace the file by a cloud-optimised copy; GDAL can only make one of a whole file."""
        copy = self._path.with_name(f"{self._path.name}.cog")
        try:
            with georeference_optional():
                rasterio.shutil.copy(
                    self._path, copy, driver="COG", overview_resampling=overviews, **self._options
                )
            copy.replace(self._path)
        finally:
            for left in self._path.parent.glob(f"{glob.escape(copy.name)}*"):
                left.unlink()


@contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    """Raise GDAL's errors in writing, which do not tell the cause, with the file's name."""
    try:
        yield
    except (rasterio.errors.RasterioError, CPLE_BaseError, tifffile.TiffFileError) as error:
        reason = f"GDAL cannot write it ({error.__cause__ or error})"
        raise OSError(errno.EIO, reason, str(path)) from error


def becomes_geotiff(image: Path) -> bool:
    """Return whether an image's labels become a GeoTIFF; otherwise they become a PNG."""
    return is_raster(image) and rasterio is not None


def need_rasterio(what: str) -> None:
    """Raise unless rasterio is installed."""
    if rasterio is None:
        raise InputError(f"{what} needs rasterio: {install('geo')}")


def has_georeference(path: Path) -> bool:
    """Return whether a raster has a georeference, in its header or a world file.

    Does not need rasterio for a TIFF; other rasters cannot be read without it.
    """
    if not is_tiff(path):
        with opened(path) as source:
            return not source.transform.is_identity
    with tifffile.TiffFile(path) as file:
        in_header = any(tag in file.pages.first.tags for tag in _GEOREFERENCE_TAGS)
    return in_header or path.with_suffix(".tfw").is_file()


def has_world_file(path: Path) -> bool:
    """Return whether an image that is no TIFF has a world file."""
    return any(path.with_suffix(suffix).is_file() for suffix in _WORLD_FILES)


def is_placed_by_points(path: Path) -> bool:
    """Return whether a TIFF is placed by ground control points or RPCs alone."""
    profile = read_georeference(path)
    return "transform" not in profile and bool(profile.keys() & {"gcps", "rpcs"})


def is_rotated(path: Path) -> bool:
    """Return whether a TIFF is stored rotated or mirrored, by its Orientation tag."""
    return _orientation(path) != _UPRIGHT


@contextmanager
def georeference_optional() -> Iterator[None]:
    """Suppress rasterio's warning about images without a georeference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


@contextmanager
def limited_cache() -> Iterator[None]:
    """Limit GDAL's block cache to 64 MB; its default is 5 % of the machine's memory."""
    if rasterio is None:
        yield
        return
    with rasterio.Env(GDAL_CACHEMAX=64 << 20):
        yield


def _orientation(path: Path) -> int:
    if not is_tiff(path):
        return _UPRIGHT
    with tifffile.TiffFile(path) as file:
        return file.pages.first.tags.valueof(_ORIENTATION, _UPRIGHT)
