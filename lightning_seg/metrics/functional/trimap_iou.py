"""IoU inside and outside bands of increasing width around the ground-truth boundaries."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.metrics.functional.bits import BITS, label_bits
from lightning_seg.metrics.functional.labels import (
    as_numbers,
    check_settings,
    equals,
    label_maps,
    lift,
)
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.windows import code_dtype, differs_within, histograms, slide

Region = Literal["boundary", "interior", "both"]
Band = Literal["transition", "per_class", "void"]


def check_trimap_iou(
    num_classes: int, widths: Sequence[int], region: str, band: str, average: str | None = "macro"
) -> None:
    """Raise ValueError if the settings of trimap IoU are invalid."""
    check_settings(
        num_classes,
        region=(region, ("boundary", "interior", "both")),
        band=(band, ("transition", "per_class", "void")),
        average=(average, ("macro", None)),
    )
    if len(widths) == 0 or any(not isinstance(w, int) or w < 1 for w in widths):
        raise ValueError(f"widths is {tuple(widths)}; expected whole numbers of px, at least 1.")


def trimap_iou_counts(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    widths: Sequence[int] = (1, 2, 3, 5, 10),
    region: Region = "boundary",
    band: Band = "transition",
    ignore_index: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return intersection and union of each class in bands, summed over the batch.

    Ignored pixels are never counted, and image borders form no boundary. All distances are
    Chebyshev distances. All widths are computed in one pass.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W); they alone define the bands.
        num_classes: K.
        widths: W half-widths of the bands in px, in any order.
        region: "boundary" for the pixels inside the band, "interior" for those outside it, "both"
            for a leading axis with both.
        band: "transition": pixels with a different, not ignored label within the width; ignored
            pixels form no boundary. One band for all classes, as in SEMEDA (Chen et al., 2020) and
            EPL (2022). "per_class": each class has its own band on both sides of its outline,
            including the outline towards ignored pixels. Ground-truth pixels of a class count in
            the inner half, predicted pixels in both halves (the trimap IoU of Cheng et al., CVPR
            2021). "void": pixels with an ignored pixel within the width (DeepLab's script for VOC,
            where objects have an ignored outline).
        ignore_index: Label of ignored pixels.

    Returns:
        Intersection and union, int64 (W, K), or (2, W, K) for both regions.

    Example:
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> trimap_iou_counts(target, target, num_classes=2, widths=[1])
        (tensor([[8, 8]]), tensor([[8, 8]]))
    """
    check_trimap_iou(num_classes, widths, region, band)
    by_level = trimap_counts_by_level(preds, target, num_classes, widths, band, ignore_index)
    intersection, union = (counts_in_region(counts, widths, region) for counts in by_level)
    return intersection, union


def trimap_counts_by_level(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    widths: Sequence[int],
    band: Band = "transition",
    ignore_index: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Count the pixels that each width adds to the band.

    Returns:
        Intersection and union, int64 (L + 1, K) for L distinct widths in ascending order; the last
        row holds pixels outside all bands. `counts_in_region` sums them.
    """
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    ordered = sorted(set(widths))
    truth_level = band_levels(truth, ordered, band, num_classes)
    pred_level = truth_level
    if band == "per_class":
        outside = _levels_of_prediction(pred, truth, ordered, num_classes)
        right = as_numbers(pred == truth)
        pred_level = right * truth_level + (1 - right) * outside
    is_void = equals(truth, num_classes)
    pred = lift(pred, is_void, num_classes)
    common = lift(pred, pred != truth, num_classes)
    intersection, pred_size, truth_size = (
        _count_by_level(labels, level, len(ordered), num_classes)
        for labels, level in ((common, truth_level), (pred, pred_level), (truth, truth_level))
    )
    return intersection, pred_size + truth_size - intersection


def counts_in_region(by_level: Tensor, widths: Sequence[int], region: Region) -> Tensor:
    """Sum counts by level (L + 1, K) to the counts inside or outside the bands.

    Returns:
        (W, K), or (2, W, K) for both regions.
    """
    ordered = sorted(set(widths))
    inside = by_level.cumsum(dim=0)
    whole = inside[-1]
    inside = inside[[ordered.index(w) for w in widths]]
    if region == "both":
        return torch.stack([inside, whole - inside])
    return inside if region == "boundary" else whole - inside


def trimap_iou(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    widths: Sequence[int] = (1, 2, 3, 5, 10),
    region: Region = "boundary",
    band: Band = "transition",
    ignore_index: int | None = None,
    average: Average = "macro",
) -> Tensor:
    """Return the trimap IoU of a batch at every width; see `trimap_iou_counts` for the arguments.

    Returns:
        float64 (W,), the mean over the classes present in the region (NaN if there are none), or
        with `average=None` (W, K), NaN for absent classes. With `region="both"`, either has a
        leading axis of two.

    Example:
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> prediction = target.clone()
        >>> prediction[:, :, 3] = 1
        >>> trimap_iou(prediction, target, num_classes=2, widths=[1, 2])
        tensor([0.2500, 0.5833], dtype=torch.float64)
    """
    check_trimap_iou(num_classes, widths, region, band, average)
    counts = trimap_iou_counts(preds, target, num_classes, widths, region, band, ignore_index)
    return average_classes(ratio(*counts), average)


def band_levels(truth: Tensor, widths: list[int], band: Band, num_classes: int) -> Tensor:
    """Return how many of the ascending widths are too narrow to include each pixel, uint8."""
    is_void = equals(truth, num_classes)
    labels = as_numbers(is_void) if band == "void" else truth
    see_through = is_void if band == "transition" else None
    levels = torch.zeros_like(truth, dtype=torch.uint8)
    for in_band in differs_within(labels, widths, see_through):
        levels += as_numbers(~in_band)
    return levels


def _levels_of_prediction(
    pred: Tensor, truth: Tensor, widths: list[int], num_classes: int
) -> Tensor:
    """Return how many widths are too narrow to reach a true pixel of the predicted class.

    Classes are bits of one integer, so one filter handles BITS classes at once.
    """
    levels = torch.zeros_like(pred, dtype=torch.uint8)
    for first in range(0, num_classes, BITS):
        count = min(BITS, num_classes - first)
        wanted = label_bits(pred, first, count)
        near = label_bits(truth, first, count)
        for width, previous in zip(widths, [0, *widths]):
            near = slide(near, width - previous, torch.bitwise_or, 0)
            missing = wanted & ~near
            levels += missing.clamp(max=1).to(torch.uint8)
    return levels


def _count_by_level(labels: Tensor, levels: Tensor, num_widths: int, num_classes: int) -> Tensor:
    """Count the pixels of each level and class: int64 (num_widths + 1, K)."""
    bins = (num_widths + 1) * (num_classes + 1)
    dtype = code_dtype(bins)
    codes = torch.add(labels.to(dtype), levels.to(dtype), alpha=num_classes + 1)
    return histograms(codes, bins).sum(dim=0).view(num_widths + 1, num_classes + 1)[:, :-1]
