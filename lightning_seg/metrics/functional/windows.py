"""Filters over square windows and histograms of label maps, without host synchronisation."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from lightning_seg.metrics.functional.labels import as_numbers, lift

# Radius up to which OpenCV's filters, whose time grows with it, are faster than `slide`.
_OPENCV_RADIUS = 64
# OpenCV counts in float32, exact up to here.
_EXACT = 1 << 24


def slide(
    maps: Tensor, radius: int, combine: Callable[[Tensor, Tensor], Tensor], neutral: int
) -> Tensor:
    """Reduce each pixel's square window of side 2 radius + 1, cropped at the image border.

    Rows first, then columns, with windows that double in length: about 2 log2(radius) passes.

    Args:
        maps: (..., H, W), any integer type.
        radius: Chebyshev radius in pixels, at least 0.
        combine: Idempotent operation (`combine(a, a) == a`): `torch.minimum`, `torch.maximum`,
            `torch.bitwise_or`.
        neutral: Neutral element: `combine(a, neutral) == a`.

    Returns:
        A map of the same shape and dtype.
    """
    for dim in (-1, -2):
        reach = min(radius, max(maps.shape[dim] - 1, 0))
        margins = (reach, reach) if dim == -1 else (0, 0, reach, reach)
        maps = pad(maps, margins, value=neutral)
        length, full = 1, 2 * reach + 1
        while length < full:
            step = min(length, full - length)
            rest = maps.shape[dim] - step
            maps = combine(maps.narrow(dim, 0, rest), maps.narrow(dim, step, rest))
            length += step
    return maps


def differs_within(
    labels: Tensor, radii: Sequence[int], see_through: Tensor | None = None
) -> list[Tensor]:
    """Return where the window of side 2 radius + 1 contains more than one label.

    One minimum and one maximum filter handle all classes at once, and each radius continues from
    the previous one.

    Args:
        labels: (B, H, W), uint8 or int32, at least 0.
        radii: Chebyshev radii in pixels, ascending.
        see_through: Boolean (B, H, W), pixels whose label is disregarded. The result at these
            pixels is undefined.

    Returns:
        A boolean map (B, H, W) for each radius.
    """
    top = torch.iinfo(labels.dtype).max
    low, high = labels, labels
    if see_through is not None:
        low = lift(labels, see_through, top)
        high = labels * as_numbers(~see_through, labels.dtype)
    differs = []
    for radius, previous in zip(radii, [0, *radii]):
        low, high = _extremes(low, high, radius - previous)
        differs.append(low != high)
    return differs


def _extremes(low: Tensor, high: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return the minimum of ``low`` and the maximum of ``high`` in the window of each pixel."""
    by_opencv = low.device.type == "cpu" and low.dtype == torch.uint8 and low.numel() > 0
    if not by_opencv or radius > _OPENCV_RADIUS:
        top = torch.iinfo(low.dtype).max
        return slide(low, radius, torch.minimum, top), slide(high, radius, torch.maximum, 0)
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    rows = torch.contiguous_format  # OpenCV writes rows, whatever the order of the labels in memory
    results = torch.empty_like(low, memory_format=rows), torch.empty_like(high, memory_format=rows)
    for reduce, maps, result in zip((cv2.erode, cv2.dilate), (low, high), results):
        for image, out in zip(maps.numpy(), result.numpy()):
            reduce(image, window, dst=out)
    return results


def overlaps(pred: Tensor, truth: Tensor, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Count the pixels of each class in both maps at once, in the prediction and in the truth.

    Args:
        pred: (B, H, W), 0 to K; K is no class.
        truth: The same.
        num_classes: K.

    Returns:
        int64 (B, K + 1) each; in the first, K has no meaning.
    """
    bins = num_classes + 1
    if pred.device.type != "cpu" or pred.dtype != torch.uint8 or pred.numel() == 0:
        common = lift(pred, pred != truth, num_classes)
        both, predicted, true = (histograms(labels, bins) for labels in (common, pred, truth))
        return both, predicted, true
    pairs = zip(pred.numpy(), truth.numpy())
    joint = torch.stack([joint_histogram(pair, (bins, bins)) for pair in pairs])
    return joint.diagonal(dim1=1, dim2=2), joint.sum(dim=2), joint.sum(dim=1)


def histograms(codes: Tensor, bins: int) -> Tensor:
    """Count how often each value 0 to bins - 1 occurs in each image (B, H, W): int64 (B, bins)."""
    if codes.device.type != "cpu":
        return histograms_by_row(codes, bins)
    if codes.numel() == 0:
        return torch.zeros((len(codes), bins), dtype=torch.int64)
    if codes.dtype == torch.uint8:
        return torch.stack([joint_histogram([image], (bins,)) for image in codes.numpy()])
    return torch.stack([torch.bincount(image.reshape(-1), minlength=bins) for image in codes])


def joint_histogram(maps: Sequence[NDArray[np.uint8]], bins: tuple[int, ...]) -> Tensor:
    """Count the combinations of values of maps (H, W) on the CPU: int64 (bins).

    A pixel with a value beyond its map's bins is not counted.
    """
    height, width = maps[0].shape
    rows = max(_EXACT // width, 1)
    total = np.zeros(bins, np.int64)
    for top in range(0, height, rows):
        parts = [labels[top : top + rows] for labels in maps]
        ranges = [limit for count in bins for limit in (0, count)]
        counts = cv2.calcHist(parts, range(len(parts)), None, bins, ranges)
        total += counts.reshape(bins).astype(np.int64)
    return torch.from_numpy(total)


def histograms_by_row(codes: Tensor, bins: int) -> Tensor:
    """Compute `histograms` on accelerators, where `torch.bincount` would synchronise the host.

    Each image row has its own counts, so threads rarely contend for one.
    """
    batch, height, width = codes.shape
    rows = torch.zeros((batch * height, bins), dtype=torch.int64, device=codes.device)
    ones = torch.ones((), dtype=torch.int64, device=codes.device).expand(batch * height, width)
    rows.scatter_add_(1, codes.reshape(batch * height, width).long(), ones)
    return rows.view(batch, height, bins).sum(dim=1)


def code_dtype(bins: int) -> torch.dtype:
    """Return the smallest integer dtype that holds 0 to bins - 1; smaller dtypes count faster."""
    fitting = (kind for kind in (torch.uint8, torch.int16) if bins <= torch.iinfo(kind).max + 1)
    return next(fitting, torch.int32)
