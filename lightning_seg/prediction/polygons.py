"""Outlines of predicted objects, for geographic information systems."""

import warnings
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lightning_seg.errors import InputError
from lightning_seg.prediction.geotiff import need_rasterio, quietly

Format = Literal["GeoPackage", "GeoJSON"]

_SUFFIXES: dict[str, str] = {"GeoPackage": ".gpkg", "GeoJSON": ".geojson"}
_DRIVERS: dict[str, str] = {"GeoPackage": "GPKG", "GeoJSON": "GeoJSON"}


@dataclass(frozen=True)
class Polygons:
    """Writes the outline of every object: pixels of one class that touch by their sides.

    Outlines are simplified together, so that neighbours keep the boundary they share (Visvalingam
    and Whyatt, 1993, by GEOS). Each has its class's number (``class``) and ``name``, its ``pixels``
    before it was simplified, and their ``area`` in square units of the coordinate system (none
    where those are degrees; square pixels where the image has no place on earth, and then the
    coordinates are column and row). GeoJSON is in longitude and latitude, as its standard has it.

    Args:
        format: The kind of file.
        tolerance: How much outlines are simplified, in pixels: about the square root of the area
            that a removed corner may cut off. 0 keeps every step.
        min_pixels: Objects of fewer pixels are left out.
        classes: Names of the classes wanted; by default all.

    Raises:
        InputError: A negative tolerance or size, or an unknown format.
    """

    format: Format = "GeoPackage"
    tolerance: float = 2.0
    min_pixels: int = 1
    classes: list[str] | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise InputError(f"format is {self.format!r}, but must be GeoPackage or GeoJSON")
        if self.tolerance < 0:
            raise InputError(f"tolerance is {self.tolerance}, but must be 0 pixels or more")
        if self.min_pixels < 1:
            raise InputError(f"min_pixels is {self.min_pixels}, but an object has 1 at least")

    @property
    def suffix(self) -> str:
        """Of the files."""
        return _SUFFIXES[self.format]

    def check(self, class_names: Sequence[str]) -> None:
        """Refuses classes that there are not.

        Raises:
            InputError: One of them is unknown, or a library is missing.
        """
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
        """Writes the outlines of a label raster.

        Args:
            labels: A GeoTIFF of class numbers, or an array (H, W) uint8; what is no class of
                ``class_names`` is left out.
            class_names: Names of the classes 0..K-1.
            path: The file to write.
            values: What stands for each class in ``labels``; by default its number.
        """
        import shapely
        from pyogrio.raw import write

        class_of = {value: k for k, value in enumerate(values or range(len(class_names)))}
        names = self.classes or class_names
        wanted = {value for value, k in class_of.items() if class_names[k] in names}
        outlines, found, crs, transform = _outlines(labels, wanted, self.min_pixels)
        numbers = np.array([class_of[value] for value in found.tolist()], np.int32)
        pixels = shapely.area(outlines)
        if self.tolerance and len(outlines):
            outlines = shapely.coverage_simplify(outlines, self.tolerance)
        measure = np.nan if crs is not None and crs.is_geographic else abs(transform.determinant)
        places = shapely.transform(outlines, lambda points: _placed(points, transform))
        standard = self.format == "GeoJSON" and crs is not None
        with warnings.catch_warnings():
            # That an image without a place has no coordinate system is no news.
            warnings.filterwarnings("ignore", "'crs' was not provided")
            write(
                str(path),
                shapely.to_wkb(places),
                [
                    numbers,
                    np.array([class_names[k] for k in numbers], dtype=object),
                    np.rint(pixels).astype(np.int64),
                    pixels * measure,
                ],
                ["class", "name", "pixels", "area"],
                layer="objects",
                driver=_DRIVERS[self.format],
                geometry_type="Polygon",
                crs=None if crs is None else crs.to_wkt(),
                layer_options={"RFC7946": "YES"} if standard else {},
            )


def _outlines(
    labels: Path | np.ndarray, wanted: Set[int], min_pixels: int
) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Polygons in columns and rows, their numbers, and the coordinate system they belong to."""
    import rasterio
    from rasterio.features import shapes

    if isinstance(labels, np.ndarray):
        transform = rasterio.Affine.identity()
        with quietly():
            return *_kept(shapes(labels), transform, wanted, min_pixels), None, transform
    with quietly(), rasterio.open(labels) as source:
        found = shapes(rasterio.band(source, 1))
        kept = _kept(found, source.transform, wanted, min_pixels)
        return *kept, source.crs, source.transform


def _kept(
    found: Iterable[tuple[Any, float]], transform: Any, wanted: Set[int], min_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """The wanted ones of all objects, of which there may be millions: each as it comes."""
    import shapely.geometry

    outlines, numbers = [], []
    for described, number in found:
        if number not in wanted:
            continue
        outline = shapely.geometry.shape(described)
        if round(outline.area / abs(transform.determinant)) >= min_pixels:
            outlines.append(outline)
            numbers.append(int(number))
    kept = np.array(outlines, dtype=object)
    if not transform.is_identity:  # back to the pixels' corners, which are whole numbers
        kept = shapely.transform(kept, lambda points: np.rint(_placed(points, ~transform)))
    return kept, np.array(numbers, dtype=np.int64)


def _placed(points: np.ndarray, transform: Any) -> np.ndarray:
    columns, rows = points[:, 0], points[:, 1]
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    return np.stack([x, y], axis=1)
