"""Outlines of neighbouring objects as borders that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Border:
    """A line along pixel edges that separates the same two objects, or an object from the rest.

    Args:
        points: (N, 2) int64 in steps of one pixel edge, from node to node; the first point is
            repeated at the end of a closed border, which has no node.
        closed: Whether it is closed.
        owners: Indices of the one or two objects that it bounds.
        at_edge: Whether it lies on the edge of the image.
    """

    points: np.ndarray
    closed: bool
    owners: tuple[int, ...]
    at_edge: bool


@dataclass(frozen=True)
class SharedBorders:
    """The outlines of all objects of an image, cut at nodes: points where borders meet.

    Args:
        borders: All borders.
        rings: For each object its rings, the outer one first; for each ring its borders in order,
            as the index and whether the border is reversed.
    """

    borders: list[Border]
    rings: list[list[list[tuple[int, bool]]]]

    def polygons(self, lines: Sequence[np.ndarray]) -> np.ndarray:
        """Return polygons with the given course (N, 2) of each border.

        A polygon may be invalid, and is None if one of its rings has fewer than 3 vertices.
        """
        return np.array([self._polygon(rings, lines) for rings in self.rings] + [None], object)[:-1]

    def _polygon(
        self, rings: list[list[tuple[int, bool]]], lines: Sequence[np.ndarray]
    ) -> Any | None:
        import shapely

        courses = []
        for ring in rings:
            parts = [lines[k][::-1] if turned else lines[k] for k, turned in ring]
            course = np.concatenate([part[:-1] for part in parts])
            if len(course) < 3:
                return None
            courses.append(np.concatenate([course, course[:1]]))
        return shapely.Polygon(courses[0], courses[1:])


def shared_borders(outlines: np.ndarray, size: tuple[int, int]) -> SharedBorders:
    """Cut outlines along pixel edges to borders that neighbours share.

    Args:
        outlines: Polygons in pixel corners, with integer coordinates, that do not overlap.
        size: Height and width of the image.
    """
    height, width = size
    rings = [[_steps(ring) for ring in _rings(outline)] for outline in outlines]
    numbers = [[ring @ (1, width + 1) for ring in of_one] for of_one in rings]
    nodes = _nodes([ring for of_one in numbers for ring in of_one], height, width)
    found: dict[tuple[int, int], int] = {}
    points: list[np.ndarray] = []
    owners: list[list[int]] = []
    closed: list[bool] = []
    cut: list[list[list[tuple[int, bool]]]] = []
    for owner, of_one in enumerate(numbers):
        cut.append([])
        for ring in of_one:
            whole, parts = _cut(ring, nodes)
            cut[-1].append([])
            for part in parts:
                turned = tuple(part[:2]) > tuple(part[:-3:-1])
                part = part[::-1] if turned else part
                key = int(part[0]), int(part[1])
                if key not in found:
                    found[key] = len(points)
                    points.append(np.stack([part % (width + 1), part // (width + 1)], axis=1))
                    owners.append([])
                    closed.append(whole)
                owners[found[key]].append(owner)
                cut[-1][-1].append((found[key], turned))
    borders = [
        Border(line, whole, tuple(dict.fromkeys(of)), _is_at_edge(line, height, width))
        for line, whole, of in zip(points, closed, owners, strict=True)
    ]
    return SharedBorders(borders, cut)


def _rings(outline: Any) -> list[np.ndarray]:
    import shapely

    return [shapely.get_coordinates(ring) for ring in shapely.get_rings(outline)]


def _steps(ring: np.ndarray) -> np.ndarray:
    """Return a closed ring (N, 2) in steps of one pixel edge, without its last point."""
    corners = np.rint(ring).astype(np.int64)
    sides = np.diff(corners, axis=0)
    lengths = np.abs(sides).sum(axis=1)
    side = np.repeat(np.arange(len(sides)), lengths)
    step = np.arange(len(side)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return corners[side] + np.sign(sides)[side] * step[:, None]


def _nodes(rings: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Return the sorted numbers of points where not two edges meet, or one is on the image edge."""
    ends = [np.stack([ring, np.roll(ring, -1)], axis=1) for ring in rings]
    edges = np.unique(np.sort(np.concatenate([np.empty((0, 2), np.int64), *ends]), axis=1), axis=0)
    points, degrees = np.unique(edges, return_counts=True)
    first, last = (
        np.stack([edges[:, end] % (width + 1), edges[:, end] // (width + 1)], axis=1)
        for end in (0, 1)
    )
    on_edge = np.zeros(len(edges), bool)
    for axis, limit in ((0, width), (1, height)):
        for value in (0, limit):
            on_edge |= (first[:, axis] == value) & (last[:, axis] == value)
    meets = np.isin(points, edges[on_edge]) & np.isin(points, edges[~on_edge])
    return points[(degrees != 2) | meets]


def _cut(ring: np.ndarray, nodes: np.ndarray) -> tuple[bool, list[np.ndarray]]:
    """Cut a ring of point numbers at nodes; return whether it has none, and the parts."""
    # np.isin would sort all nodes for every ring.
    place = np.searchsorted(nodes, ring)
    at = np.flatnonzero(np.append(nodes, -1)[place] == ring)
    if not len(at):
        ring = np.roll(ring, -int(ring.argmin()))
        return True, [np.append(ring, ring[0])]
    ring = np.roll(ring, -int(at[0]))
    at = np.append(at - at[0], len(ring))
    ring = np.append(ring, ring[0])
    return False, [ring[start : stop + 1] for start, stop in pairwise(at)]


def _is_at_edge(line: np.ndarray, height: int, width: int) -> bool:
    """Return whether the first step, and with it all others, lies on the edge of the image."""
    (x, y), (u, v) = line[:2]
    return bool((x == u and x in (0, width)) or (y == v and y in (0, height)))
