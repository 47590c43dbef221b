"""Polygons of predicted objects, for geographic information systems."""

import errno
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lightning_seg.errors import InputError, check_choice, needs
from lightning_seg.prediction.geotiff import (
    becomes_geotiff,
    georeference_optional,
    need_rasterio,
    read_georeference,
)
from lightning_seg.prediction.regular_outlines import noded_outlines, regular_outlines

Format = Literal["GeoPackage", "GeoJSON"]

_SUFFIXES: dict[str, str] = {"GeoPackage": ".gpkg", "GeoJSON": ".geojson"}
_DRIVERS: dict[str, str] = {"GeoPackage": "GPKG", "GeoJSON": "GeoJSON"}
# Rows of probabilities that are read at once.
_ROWS = 256


@dataclass(frozen=True)
class Polygons:
    """Settings and writer of object outlines; an object is a 4-connected region of one class.

    Outlines are simplified together, so that neighbours keep their shared boundary: to fewer
    vertices (Visvalingam and Whyatt, 1993, as implemented in GEOS), or to regular outlines, see
    `regular_outlines`. Each polygon has the attributes ``class`` (class index), ``name``,
    ``pixels`` (size before simplification), ``area`` (before simplification, in square units of
    the coordinate system; empty if the units are degrees) and ``probability`` (the mean over its
    pixels of the probability of its class, each to 1 / 255). Without a georeference, coordinates
    are column and row, and areas are in square pixels. GeoJSON uses longitude and latitude, as its
    standard requires.

    Args:
        format: File format.
        tolerance: Tolerance of the simplification in pixels: about the square root of the area
            that removing a vertex may change; of regular outlines, how far a side may be from the
            pixels. 0 keeps every vertex.
        min_pixels: Smallest object that is written, in pixels; smaller holes are filled.
        classes: Names of the classes to write; by default all.
        regular: Make outlines regular, as those of buildings: straight sides, and right angles
            where they are nearly right. Objects narrower than the tolerance become part of the
            neighbour with the longest common border, if that is a third of their outline, or
            else are left out.
        tolerance_metres: Tolerance in metres, instead of pixels.
        min_area: Smallest object and hole, in square metres.

    Raises:
        InputError: ``tolerance`` or ``min_area`` is negative, or 0 for regular outlines,
            ``min_pixels`` is below 1, or ``format`` is unknown.
    """

    format: Format = "GeoPackage"
    tolerance: float = 2.0
    min_pixels: int = 1
    classes: list[str] | None = None
    regular: bool = False
    tolerance_metres: float | None = None
    min_area: float | None = None

    def __post_init__(self) -> None:
        check_choice("format", self.format, Format)
        if self.tolerance < 0:
            raise InputError(f"tolerance is {self.tolerance}, expected 0 pixels or more")
        for name in ("tolerance_metres", "min_area"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name} is {value}, expected 0 or more")
        if self.regular and not (self.tolerance if self.tolerance_metres is None else True):
            raise InputError("tolerance is 0, but regular outlines need more than 0 pixels")
        if self.min_pixels < 1:
            raise InputError(f"min_pixels is {self.min_pixels}, expected 1 or more")

    @property
    def suffix(self) -> str:
        """File suffix of the format."""
        return _SUFFIXES[self.format]

    def check(self, class_names: Sequence[str]) -> None:
        """Raise unless all requested classes exist and the libraries are installed."""
        need_rasterio("Writing polygons")
        with needs("geo", "Writing polygons"):
            import pyogrio  # noqa: F401
            import shapely  # noqa: F401
        if unknown := [name for name in self.classes or () if name not in class_names]:
            raise InputError(
                f"polygons.classes names {unknown[0]!r}, but the classes are: "
                f"{', '.join(class_names)}."
            )

    def check_places(self, images: Sequence[Path]) -> None:
        """Raise if sizes are in metres, but those of an image's pixels are not known."""
        if self.tolerance_metres is None and self.min_area is None:
            return
        for image in images:
            profile = read_georeference(image) if becomes_geotiff(image) else {}
            if "transform" not in profile or _metres(profile.get("crs")) is None:
                raise InputError(
                    "tolerance_metres and min_area need a coordinate system in metres or feet, but "
                    f"that of {image} is {profile.get('crs') or 'not known'}. Give tolerance and "
                    "min_pixels, in pixels, or warp the image (gdalwarp -t_srs)."
                )

    def write(
        self,
        labels: Path | np.ndarray,
        class_names: Sequence[str],
        path: Path,
        confidence: Path,
        values: Sequence[int] | None = None,
    ) -> None:
        """Write the outlines of a label raster.

        Args:
            labels: A label GeoTIFF, or an array (H, W) uint8. Values that are not a class are
                skipped.
            class_names: Names of the classes 0..K-1.
            path: The file to write.
            confidence: A GeoTIFF with 255 times the probability of each pixel's label.
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
        found = _outlines(labels, wanted, self._least_pixels)
        outlines, crs, transform = found.outlines, found.crs, found.transform
        numbers = np.array([class_of[value] for value in found.values.tolist()], np.int32)
        pixels = shapely.area(outlines)
        probabilities = _mean_probabilities(outlines, confidence)
        least, tolerance = self._least_pixels(transform, crs), self._tolerance(transform, crs)
        if least > 1:
            outlines = _without_holes(outlines, least)
        if self.regular:
            outlines, kept = _without_slivers(outlines, tolerance)
            numbers, pixels, probabilities = numbers[kept], pixels[kept], probabilities[kept]
            outlines = regular_outlines(outlines, found.size, tolerance)
        elif tolerance and len(outlines):
            outlines = shapely.coverage_simplify(noded_outlines(outlines, found.size), tolerance)
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
                        probabilities,
                    ],
                    ["class", "name", "pixels", "area", "probability"],
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

    def _least_pixels(self, transform: Any, crs: Any) -> float:
        """Return the smallest size of an object in pixels."""
        if self.min_area is None:
            return self.min_pixels
        metres = _metres(crs)
        assert metres is not None, "check_places has found it"
        return max(self.min_pixels, self.min_area / (abs(transform.determinant) * metres**2))

    def _tolerance(self, transform: Any, crs: Any) -> float:
        """Return the tolerance in pixels."""
        if self.tolerance_metres is None:
            return self.tolerance
        metres = _metres(crs)
        assert metres is not None, "check_places has found it"
        return self.tolerance_metres / (abs(transform.determinant) ** 0.5 * metres)


class _Outlines(NamedTuple):
    """Polygons in pixel coordinates, their pixel values, and where they are."""

    outlines: np.ndarray
    values: np.ndarray
    size: tuple[int, int]
    crs: Any
    transform: Any


def _outlines(
    labels: Path | np.ndarray, wanted: Set[int], least_pixels: Callable[[Any, Any], float]
) -> _Outlines:
    import rasterio
    from rasterio.features import shapes

    if isinstance(labels, np.ndarray):
        place = None, rasterio.Affine.identity()
        with georeference_optional():
            selected = _selected(shapes(labels), place[1], wanted, least_pixels(place[1], None))
        return _Outlines(*selected, labels.shape, *place)
    with georeference_optional(), rasterio.open(labels) as source:
        objects, place = shapes(rasterio.band(source, 1)), (source.crs, source.transform)
        selected = _selected(objects, place[1], wanted, least_pixels(place[1], place[0]))
        return _Outlines(*selected, source.shape, *place)


def _metres(crs: Any) -> float | None:
    """Return the unit of a coordinate system in metres; None if it is none of length."""
    if crs is None or not crs.is_projected:
        return None
    return float(crs.linear_units_factor[1])


def _mean_probabilities(outlines: np.ndarray, confidence: Path) -> np.ndarray:
    """Return the mean of 1 / 255 of the pixels within each outline along pixel edges."""
    import rasterio
    import shapely
    from rasterio.features import rasterize
    from rasterio.windows import Window

    sums = np.zeros(len(outlines))
    if not len(outlines):
        return sums
    _, tops, _, bottoms = shapely.bounds(outlines).T
    with georeference_optional(), rasterio.open(confidence) as source:
        for row in range(0, source.height, _ROWS):
            rows = min(_ROWS, source.height - row)
            here = np.flatnonzero((tops < row + rows) & (bottoms > row))
            if not len(here):
                continue
            number = rasterize(
                zip(outlines[here], range(1, len(here) + 1), strict=True),
                (rows, source.width),
                transform=rasterio.Affine.translation(0, row),
                dtype="int32",
            )
            values = source.read(1, window=Window(0, row, source.width, rows))
            sums[here] += np.bincount(number.ravel(), values.ravel(), len(here) + 1)[1:]
    return sums / shapely.area(outlines) / 255


def _without_holes(outlines: np.ndarray, least: float) -> np.ndarray:
    """Fill the holes below a size; objects of this size may lie in the others."""
    import shapely

    filled = outlines.copy()
    for k in np.flatnonzero(shapely.get_num_interior_rings(outlines)):
        holes = [hole for hole in outlines[k].interiors if shapely.Polygon(hole).area >= least]
        filled[k] = shapely.Polygon(outlines[k].exterior, holes)
    return filled


def _without_slivers(outlines: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Add objects narrower than ``width`` to a neighbour; return outlines, and which are left."""
    import shapely

    thin = shapely.is_empty(shapely.buffer(outlines, -width / 2, join_style="mitre"))
    kept, slivers = outlines[~thin], outlines[thin]
    parts: dict[int, list[Any]] = {}
    for number, neighbours in _grouped(shapely.STRtree(kept).query(slivers, "touches")):
        sliver = slivers[number]
        borders = shapely.intersection(sliver.boundary, shapely.boundary(kept[neighbours]))
        common = shapely.length(borders)
        if common.max() >= shapely.length(sliver) / 3:
            parts.setdefault(int(neighbours[common.argmax()]), []).append(sliver)
    for number, added in parts.items():
        kept[number] = shapely.union_all([kept[number], *added])
    return kept, ~thin


def _grouped(pairs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each first index with its second ones."""
    for first in np.unique(pairs[0]):
        yield int(first), pairs[1][pairs[0] == first]


def _selected(
    objects: Iterable[tuple[Any, float]], transform: Any, wanted: Set[int], min_pixels: float
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
