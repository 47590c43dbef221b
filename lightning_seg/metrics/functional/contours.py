"""Contours of all classes of a label map, and which of their pixels lie near the other map's.

The contour is that of the DAVIS benchmark (Perazzi et al., CVPR 2016, `seg2bmap`): a pixel is on
the contour of a class if it and its right, lower and lower right neighbour are not all inside or
all outside. So the contour pixels of ALL classes are those whose block of four holds two labels
or more, and each is on the contours of just these.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.metrics.functional.bits import BITS, dilate_disk, label_bits
from lightning_seg.metrics.functional.windows import code_dtype, histograms

# Above this share of contour pixels (of both maps, in all pixels) searching for each contour
# pixel takes longer than dilating whole maps.
DENSE_SHARE = 0.2


class ContourCounts(NamedTuple):
    """Contour pixels of each image and class, int64 (B, K) each."""

    pred: Tensor
    matched_pred: Tensor
    truth: Tensor
    matched_truth: Tensor


def match_contours(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None = None
) -> ContourCounts:
    """Count contour pixels, and those that have one of the other map's within a disk.

    Two ways with the same counts: a search among sorted positions where contours are few and on
    the CPU, dilation of bit maps elsewhere.

    Args:
        pred: Labels (B, H, W), 0 to K; K belongs to no class but bounds others; K + 1 is looked
            through: it neither has nor makes a contour.
        truth: The same.
        num_classes: K.
        radius: Greatest distance of a match in px, Euclidean.
        uncounted: Boolean (B, H, W), contour pixels that may be matched but are not counted.

    Returns:
        The counts.
    """
    if pred.device.type == "cpu":
        share = sum(float((_mixed(labels)).float().mean()) for labels in (pred, truth))
        if share < DENSE_SHARE:
            return match_by_search(pred, truth, num_classes, radius, uncounted)
    return match_by_dilation(pred, truth, num_classes, radius, uncounted)


def match_by_dilation(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None = None
) -> ContourCounts:
    """`match_contours` on whole maps: one dilation for BITS classes; any device, no host wait."""
    contours = [_contour_labels(labels, num_classes) for labels in (pred, truth)]
    matched = [[torch.zeros_like(pred, dtype=torch.bool) for _ in range(4)] for _ in contours]
    for first in range(0, num_classes, BITS):
        count = min(BITS, num_classes - first)
        bits = [[label_bits(labels, first, count) for labels in four] for four in contours]
        near = [dilate_disk(a | b | c | d, radius) for a, b, c, d in bits]
        for mine, other, found in zip(bits, reversed(near), matched):
            for bit, hit in zip(mine, found):
                hit |= (bit & other) != 0
    counts = [_count(four, found, num_classes, uncounted) for four, found in zip(contours, matched)]
    return ContourCounts(*counts[0], *counts[1])


def _block(labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each pixel, its right, lower and lower right neighbour; itself beyond the border."""
    right = torch.cat([labels[..., 1:], labels[..., -1:]], dim=-1)
    lower, diagonal = (torch.cat([m[..., 1:, :], m[..., -1:, :]], dim=-2) for m in (labels, right))
    return labels, right, lower, diagonal


def _mixed(labels: Tensor) -> Tensor:
    _, right, lower, diagonal = _block(labels)
    return (labels != right) | (labels != lower) | (labels != diagonal)


def _contour_labels(labels: Tensor, num_classes: int) -> list[Tensor]:
    """Four maps that name the classes whose contour a pixel is on, each once; the rest is K."""
    block = _block(labels)
    kept: list[Tensor] = []
    distinct = torch.zeros_like(labels)
    for i, label in enumerate(block):
        new = label <= num_classes
        for earlier in block[:i]:
            new &= label != earlier
        distinct += new
        kept.append(label.masked_fill(~new, num_classes))
    return [label.masked_fill(distinct < 2, num_classes) for label in kept]


def _count(
    four: list[Tensor], matched: list[Tensor], num_classes: int, uncounted: Tensor | None
) -> tuple[Tensor, Tensor]:
    bins = 2 * (num_classes + 1)
    dtype = code_dtype(bins)
    total = torch.zeros((four[0].shape[0], bins), dtype=torch.int64, device=four[0].device)
    for labels, hit in zip(four, matched):
        if uncounted is not None:
            labels = labels.masked_fill(uncounted, num_classes)
        total += histograms(labels.to(dtype) + hit.to(dtype) * (num_classes + 1), bins)
    missed, found = total.view(-1, 2, num_classes + 1)[..., :-1].unbind(dim=1)
    return missed + found, found


class _Grid(NamedTuple):
    """One number for each image, class and place, so that all of them are searched in one list.

    Rows and planes keep `radius` free places between them: no reach leads into the next.
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
    """`match_contours` on lists of contour pixels, on the CPU."""
    grid = _Grid(num_classes, *pred.shape[-2:], radius)
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
    """Sorted places of all contour pixels, and of the counted ones."""
    image, y, x = np.nonzero(_mixed(torch.from_numpy(labels)).numpy())
    right, lower = np.minimum(x + 1, grid.width - 1), np.minimum(y + 1, grid.height - 1)
    block = np.stack([labels[image, v, u] for v in (y, lower) for u in (x, right)])
    new = block <= grid.num_classes
    for i in range(1, 4):
        new[i] &= (block[i] != block[:i]).all(axis=0)
    new &= (new.sum(axis=0) >= 2) & (block < grid.num_classes)
    entry, pixel = np.nonzero(new)
    plane = image[pixel] * grid.num_classes + block[entry, pixel]
    places = plane * grid.plane + y[pixel] * grid.row + x[pixel]
    if skip is None:
        everything = np.sort(places)
        return everything, everything
    counted = ~skip[image[pixel], y[pixel], x[pixel]]
    return np.sort(places), np.sort(places[counted])


def _has_neighbour(
    places: NDArray[np.int64], others: NDArray[np.int64], grid: _Grid
) -> NDArray[np.bool_]:
    """Which of the sorted places have one of the sorted others within the disk."""
    found = np.zeros(len(places), dtype=bool)
    if len(others) == 0:
        return found
    left = np.arange(len(places))
    for dy in sorted(range(-grid.radius, grid.radius + 1), key=abs):
        half = math.isqrt(grid.radius**2 - dy**2)
        middle = places[left] + dy * grid.row
        first = np.searchsorted(others, middle - half)
        nearest = others[np.minimum(first, len(others) - 1)]
        hit = (nearest >= middle - half) & (nearest <= middle + half)
        found[left[hit]] = True
        left = left[~hit]
        if len(left) == 0:
            break
    return found
