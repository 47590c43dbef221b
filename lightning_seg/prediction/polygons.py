"""Polygons of predicted objects, for geographic information systems."""

import errno
import warnings
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lightning_seg.errors import InputError, check_choice
from lightning_seg.prediction.geotiff import georeference_optional, need_rasterio

Format = Literal["GeoPackage", "GeoJSON"]

_SUFFIXES: dict[str, str] = {"GeoPackage": ".gpkg", "GeoJSON": ".geojson"}
_DRIVERS: dict[str, str] = {"GeoPackage": "GPKG", "GeoJSON": "GeoJSON"}


@dataclass(frozen=True)
class Polygons:
    """Settings and writer of object outlines; an object is a 4-connected region of one class.

    Outlines are simplified together, so that neighbours keep their shared boundary (Visvalingam
    and Whyatt, 1993, as implemented in GEOS). Each polygon has the attributes ``class`` (class
    index), ``name``, ``pixels`` (size before simplification) and ``area`` (before simplification,
    in square units of the coordinate system; empty if the units are degrees). Without a
    georeference, coordinates are column and row, and areas are in square pixels. GeoJSON uses
    longitude and latitude, as its standard requires.

    Args:
        format: File format.
        tolerance: Tolerance of the simplification in pixels: about the square root of the area
            that removing a vertex may change. 0 keeps every vertex.
        min_pixels: Smallest object that is written, in pixels.
        classes: Names of the classes to write; by default all.

    Raises:
        InputError: ``tolerance`` is negative, ``min_pixels`` is below 1, or ``format`` is unknown.
    """

    format: Format = "GeoPackage"
    tolerance: float = 2.0
    min_pixels: int = 1
    classes: list[str] | None = None

    def __post_init__(self) -> None:
        check_choice("format", self.format, Format)
        if self.tolerance < 0:
            raise InputError(f"tolerance is {self.tolerance}, expected 0 pixels or more")
        if self.min_pixels < 1:
            raise InputError(f"min_pixels is {self.min_pixels}, expected 1 or more")

    @property
    def suffix(self) -> str:
        """File suffix of the format."""
        return _SUFFIXES[self.format]

    def check(self, class_names: Sequence[str]) -> None:
        """Raise unless all requested classes exist and the libraries are installed."""
        need_rasterio("Writing polygons")
        try:
            import pyogrio  # noqa: F401
            import shapely  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"Writing polygons needs {error.name}: pip install 'lightning_seg[geo]'"
            ) from error
        if unknown := [name for name in self.classes or () if name not in class_names]:
            raise InputError(
                f"polygons.classes names {unknown[0]!r}, but the classes are: "
                f"{', '.join(class_names)}."
            )

    def write(
        self,
        labels: Path | np.ndarray,
        class_names: Sequence[str],
        path: Path,
        values: Sequence[int] | None = None,
    ) -> None:
        """Write the outlines of a label raster.

        Args:
            labels: A label GeoTIFF, or an array (H, W) uint8. Values that are not a class are
                skipped.
            class_names: Names of the classes 0..K-1.
            path: The file to write.
            values: Pixel value of each class in ``labels``; by default its index.

        Raises:
            OSError: The file cannot be written, or is incomplete.
        """
        import shapely
        from pyogrio import read_info
        from pyogrio.errors import DataLayerError, DataSourceError
        from pyogrio.raw import write

        class_of = {value: k for k, value in enumerate(values or range(len(class_names)))}
        names = self.classes or class_names
        wanted = {value for value, k in class_of.items() if class_names[k] in names}
        outlines, pixel_values, crs, transform = _outlines(labels, wanted, self.min_pixels)
        numbers = np.array([class_of[value] for value in pixel_values.tolist()], np.int32)
        pixels = shapely.area(outlines)
        if self.tolerance and len(outlines):
            outlines = shapely.coverage_simplify(outlines, self.tolerance)
        pixel_area = np.nan if crs is not None and crs.is_geographic else abs(transform.determinant)
        polygons = shapely.transform(outlines, lambda points: _transformed(points, transform))
        standard = self.format == "GeoJSON" and crs is not None
        try:
            with warnings.catch_warnings():
                # Images without a georeference have no coordinate system.
                warnings.filterwarnings("ignore", "'crs' was not provided")
                write(
                    str(path),
                    shapely.to_wkb(polygons),
                    [
                        numbers,
                        np.array([class_names[k] for k in numbers], dtype=object),
                        np.rint(pixels).astype(np.int64),
                        pixels * pixel_area,
                    ],
                    ["class", "name", "pixels", "area"],
                    layer="objects",
                    driver=_DRIVERS[self.format],
                    geometry_type="Polygon",
                    crs=None if crs is None else crs.to_wkt(),
                    layer_options={"RFC7946": "YES"} if standard else {},
                )
            # GDAL ignores a full disk when it closes a file.
            count = read_info(path, force_feature_count=True)["features"]
        except (DataSourceError, DataLayerError) as error:
            raise OSError(errno.EIO, f"GDAL cannot write it ({error})", str(path)) from error
        if count != len(polygons):
            raise OSError(errno.EIO, "the file is incomplete; is the disk full?", str(path))


def _outlines(
    labels: Path | np.ndarray, wanted: Set[int], min_pixels: int
) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Return polygons in pixel coordinates, their pixel values, the CRS and the transform."""
    import rasterio
    from rasterio.features import shapes

    if isinstance(labels, np.ndarray):
        transform = rasterio.Affine.identity()
        with georeference_optional():
            return *_selected(shapes(labels), transform, wanted, min_pixels), None, transform
    with georeference_optional(), rasterio.open(labels) as source:
        objects = shapes(rasterio.band(source, 1))
        selected = _selected(objects, source.transform, wanted, min_pixels)
        return *selected, source.crs, source.transform


def _selected(
    objects: Iterable[tuple[Any, float]], transform: Any, wanted: Set[int], min_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Select the wanted objects one at a time, as there may be millions."""
    import shapely.geometry

    outlines, values = [], []
    for geometry, value in objects:
        if value not in wanted:
            continue
        outline = shapely.geometry.shape(geometry)
        if round(outline.area / abs(transform.determinant)) >= min_pixels:
            outlines.append(outline)
            values.append(int(value))
    selected = np.array(outlines, dtype=object)
    if not transform.is_identity:  # back to pixel corners, which have integer coordinates
        selected = shapely.transform(
            selected, lambda points: np.rint(_transformed(points, ~transform))
        )
    return selected, np.array(values, dtype=np.int64)


def _transformed(points: np.ndarray, transform: Any) -> np.ndarray:
    columns, rows = points[:, 0], points[:, 1]
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    return np.stack([x, y], axis=1)
