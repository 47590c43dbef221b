"""Contour matching by dilation of maps, many classes at once, on any device.

Nothing here synchronises the host with the device.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_seg.metrics.functional.bits import BITS, dilate_disk, label_bits
from lightning_seg.metrics.functional.contours import ContourCounts, block
from lightning_seg.metrics.functional.labels import as_numbers, equals, lift
from lightning_seg.metrics.functional.windows import code_dtype, histograms

_TILE = 256  # pixels


class _Contours(NamedTuple):
    """A contour mask (B, H, W), and four maps of the distinct classes at each contour pixel.

    Unused entries are K.
    """

    mask: Tensor
    classes: list[Tensor]


def match_by_dilation(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None = None
) -> ContourCounts:
    """Match contours with one dilation of the other map for every BITS classes.

    On the CPU in tiles, whose many maps stay in its cache.
    """
    if pred.device.type != "cpu":
        return _match(pred, truth, num_classes, radius, uncounted)
    counts = torch.zeros((4, len(pred), num_classes), dtype=torch.int64)
    for image in range(len(pred)):
        for rows, columns, margin in _tiles(pred.shape[-2], pred.shape[-1], radius):
            tile = slice(image, image + 1), rows, columns
            skip = margin if uncounted is None else margin | uncounted[tile]
            matched = _match(pred[tile], truth[tile], num_classes, radius, skip)
            counts[:, image] += torch.cat(matched)
    return ContourCounts(*counts)


def _match(
    pred: Tensor, truth: Tensor, num_classes: int, radius: int, uncounted: Tensor | None
) -> ContourCounts:
    contours = [_contours(labels, num_classes) for labels in (pred, truth)]
    matched = [[torch.zeros_like(pred, dtype=torch.uint8) for _ in range(4)] for _ in contours]
    for first in range(0, num_classes, BITS):
        count = min(BITS, num_classes - first)
        blocks = [block(label_bits(labels, first, count)) for labels in (pred, truth)]
        near = [
            dilate_disk((a | b | c | d) * as_numbers(own.mask, a.dtype), radius)
            for (a, b, c, d), own in zip(blocks, contours)
        ]
        for bits, other, hits in zip(blocks, reversed(near), matched):
            for bit, hit in zip(bits, hits):
                hit += (bit & other).clamp_(max=1).to(torch.uint8)
    pred_counts, truth_counts = (
        _count(own.classes, hits, num_classes, uncounted) for own, hits in zip(contours, matched)
    )
    return ContourCounts(*pred_counts, *truth_counts)


def _tiles(height: int, width: int, radius: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield rows and columns of each tile with its margin, and the mask of the margin.

    The margin is as wide as the disk. One more row and column below and to the right complete the
    2 x 2 blocks of its last contour pixels.
    """
    side = max(_TILE, 4 * radius)
    for top in range(0, height, side):
        for left in range(0, width, side):
            above, before = min(top, radius), min(left, radius)
            rows = slice(top - above, min(top + side + radius + 1, height))
            columns = slice(left - before, min(left + side + radius + 1, width))
            margin = torch.ones(
                (rows.stop - rows.start, columns.stop - columns.start), dtype=torch.bool
            )
            margin[above : above + side, before : before + side] = False
            yield rows, columns, margin


def _contours(labels: Tensor, num_classes: int) -> _Contours:
    members = block(labels)
    classes: list[Tensor] = []
    distinct = torch.zeros_like(labels, dtype=torch.uint8)
    for i, label in enumerate(members):
        repeated = equals(label, num_classes + 1)
        for earlier in members[:i]:
            repeated |= label == earlier
        distinct += as_numbers(~repeated)
        classes.append(lift(label.clamp(max=num_classes), repeated, num_classes))
    alone = equals(distinct.clamp_(min=1), 1)
    return _Contours(~alone, [lift(label, alone, num_classes) for label in classes])


def _count(
    classes: list[Tensor], matched: list[Tensor], num_classes: int, uncounted: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Count all contour pixels and the matched ones, per image and class."""
    bins = 2 * (num_classes + 1)
    dtype = code_dtype(bins)
    total = torch.zeros((len(classes[0]), bins), dtype=torch.int64, device=classes[0].device)
    for labels, hit in zip(classes, matched):
        if uncounted is not None:
            labels = lift(labels, uncounted, num_classes)
        total += histograms(labels.to(dtype) + hit.to(dtype) * (num_classes + 1), bins)
    misses, hits = total.view(-1, 2, num_classes + 1)[..., :-1].unbind(dim=1)
    return misses + hits, hits
