"""Measures of how well an outline agrees with the true one; they need shapely."""

from typing import Any

import numpy as np


def polis(one: Any, other: Any) -> float:
    """Compute the PoLiS distance of two polygons (Avbelj et al., 2015, equation 1).

    It is the mean distance of the vertices of each polygon to the boundary of the other, averaged
    over both directions, in the units of the coordinates: 0 for equal outlines. Holes count.

    Args:
        one: A shapely Polygon or MultiPolygon.
        other: Another one.
    """
    return (_mean_distance(one, other) + _mean_distance(other, one)) / 2


def polygon_iou(one: Any, other: Any) -> float:
    """Compute the intersection over union of the areas of two polygons, from 0 to 1."""
    import shapely

    union = shapely.area(shapely.union(one, other))
    return float(shapely.area(shapely.intersection(one, other)) / union) if union else 0.0


def corner_count_ratio(outline: Any, truth: Any) -> float:
    """Compute the number of corners of an outline over that of the true one; 1 is best.

    This is the N ratio of Zorzi et al. (2022). Vertices where the outline turns by less than a
    degree, such as those where a neighbour's wall begins, are no corners.
    """
    return _corners(outline) / _corners(truth)


def _corners(polygon: Any) -> int:
    import shapely

    number = 0
    for ring in shapely.get_rings(shapely.get_parts(polygon)):
        x, y = np.diff(shapely.get_coordinates(ring), axis=0).T
        u, v = np.roll(x, -1), np.roll(y, -1)
        turns = np.abs(np.arctan2(x * v - y * u, x * u + y * v))
        number += int((turns >= np.deg2rad(1)).sum())
    return number


def _mean_distance(polygon: Any, to: Any) -> float:
    import shapely

    points = shapely.points(_vertices(polygon))
    return float(shapely.distance(points, shapely.boundary(to)).mean())


def _vertices(polygon: Any) -> np.ndarray:
    """Return the different vertices of all rings, as (N, 2)."""
    import shapely

    rings = shapely.get_rings(shapely.get_parts(polygon))
    return np.concatenate([shapely.get_coordinates(ring)[:-1] for ring in rings])
