"""Contour matching by search in sorted positions, on the CPU; fast for sparse contours."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lightning_seg.metrics.functional.contours import ContourCounts, mixed_blocks

# A tree pays if so many positions have no neighbour in so many rows above and below.
_SEARCHED_ROWS = 2
_TREE_SHARE = 0.2


class _Grid(NamedTuple):
    """Numbering of all positions of all images and classes, so one sorted list holds them all.

    Rows and planes are `radius` positions apart, so a disk never reaches into the next one.
    """

    num_classes: int
    height: int
    width: int
    radius: int

    @property
    def row(self) -> int:
        return self.width + self.radius

    @property
    def plane(self) -> int:
        return (self.height + self.radius) * self.row


def match_by_search(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None = None
) -> ContourCounts:
    """Match contours with a binary search for each contour pixel and row of the disk.

    Where many contour pixels have no neighbour within a few rows, a k-d tree finds the rest.
    """
    grid = _Grid(num_classes, pred.shape[-2], pred.shape[-1], radius)
    skip = None if uncounted is None else uncounted.numpy()
    pred_all, pred_counted = _contour_places(pred.numpy(), grid, skip)
    truth_all, truth_counted = _contour_places(truth.numpy(), grid, skip)
    bins = pred.shape[0] * num_classes
    counts = []
    for places, others in ((pred_counted, truth_all), (truth_counted, pred_all)):
        for chosen in (places, places[_has_neighbour(places, others, grid)]):
            per_class = np.bincount(chosen // grid.plane, minlength=bins)
            counts.append(torch.from_numpy(per_class).view(-1, num_classes))
    return ContourCounts(*counts)


def _contour_places(
    labels: NDArray[np.integer], grid: _Grid, skip: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sorted positions of all contour pixels, and of the counted ones."""
    image, pixel = divmod(
        np.flatnonzero(mixed_blocks(torch.from_numpy(labels)).numpy()), grid.height * grid.width
    )
    y, x = divmod(pixel, grid.width)
    right, lower = np.minimum(x + 1, grid.width - 1), np.minimum(y + 1, grid.height - 1)
    block = np.stack([labels[image, v, u] for v in (y, lower) for u in (x, right)])
    new = block <= grid.num_classes
    for i in range(1, 4):
        new[i] &= (block[i] != block[:i]).all(axis=0)
    new &= (new.sum(axis=0) >= 2) & (block < grid.num_classes)
    corner, index = np.nonzero(new)
    image, y, x = image[index], y[index], x[index]
    plane = image * grid.num_classes + block[corner, index]
    places = plane * grid.plane + y * grid.row + x
    if skip is None:
        everything = np.sort(places)
        return everything, everything
    counted = ~skip[image, y, x]
    return np.sort(places), np.sort(places[counted])


def _has_neighbour(
    places: NDArray[np.int64], others: NDArray[np.int64], grid: _Grid
) -> NDArray[np.bool_]:
    """Return which sorted positions have one of the sorted `others` within the disk."""
    matched = np.zeros(len(places), dtype=bool)
    if len(others) == 0:
        return matched
    left = np.arange(len(places))
    for dy in sorted(range(-grid.radius, grid.radius + 1), key=abs):
        half = math.isqrt(grid.radius**2 - dy**2)
        middle = places[left] + dy * grid.row
        first = np.searchsorted(others, middle - half)
        nearest = others[np.minimum(first, len(others) - 1)]
        hit = (nearest >= middle - half) & (nearest <= middle + half)
        matched[left[hit]] = True
        left = left[~hit]
        if len(left) == 0:
            break
        if abs(dy) == _SEARCHED_ROWS and len(left) > _TREE_SHARE * len(places):
            matched[left] = _has_neighbour_in_tree(places[left], others, grid)
            break
    return matched


def _has_neighbour_in_tree(
    places: NDArray[np.int64], others: NDArray[np.int64], grid: _Grid
) -> NDArray[np.bool_]:
    """Do the same with a k-d tree, which is faster for positions far from all others."""
    tree = cKDTree(_coordinates(others, grid), balanced_tree=False, compact_nodes=False)
    bound = math.sqrt(grid.radius**2 + 0.5)  # between two squared distances, which are integers
    distance, _ = tree.query(_coordinates(places, grid), distance_upper_bound=bound)
    return np.isfinite(distance)


def _coordinates(places: NDArray[np.int64], grid: _Grid) -> NDArray[np.int64]:
    return np.stack(np.divmod(places, grid.row), axis=1)
