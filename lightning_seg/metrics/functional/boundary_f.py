"""Boundary F-measure of the DAVIS benchmark (Perazzi et al., CVPR 2016), all classes at once."""

import math
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.metrics.functional.bits import dilate_disk
from lightning_seg.metrics.functional.contours import ContourCounts
from lightning_seg.metrics.functional.labels import check_settings, equals, label_maps, lift
from lightning_seg.metrics.functional.match_contours import match_contours
from lightning_seg.metrics.functional.ratios import as_float64

ContourVoid = Literal["zeroed", "removed"]


def check_boundary_f(
    num_classes: int, tolerance: float, void: str, average: str | None = "macro"
) -> None:
    """Raise a ValueError where the settings of the boundary F-measure make no sense."""
    check_settings(
        num_classes, void=(void, ("zeroed", "removed")), average=(average, ("macro", None))
    )
    if not 0 <= tolerance < math.inf or (tolerance >= 1 and tolerance != int(tolerance)):
        raise ValueError(
            f"tolerance is {tolerance}; expected a share of the image diagonal below 1, "
            "or a whole number of px."
        )


def tolerance_in_pixels(tolerance: float, height: int, width: int) -> int:
    """The tolerance in px: as it is from 1 on, below a share of the diagonal, rounded up."""
    if tolerance >= 1:
        return int(tolerance)
    return math.ceil(tolerance * math.sqrt(height * height + width * width))


def boundary_f_counts(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    tolerance: float = 0.008,
    ignore_index: int | None = None,
    void: ContourVoid = "zeroed",
) -> ContourCounts:
    """Contour pixels of each image and class, and how many of them the other map confirms.

    A contour is one pixel wide, lies on both sides of an outline (half a pixel towards the
    origin), and image borders are none. A contour pixel is matched by any of the same class in
    the other map within the tolerance (a disk; many to one).

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        tolerance: Below 1 a share of the image diagonal (rounded up to whole px), otherwise px.
        ignore_index: The label of void pixels.
        void: "zeroed": void is cut out of both maps first, as the public codes do; its outline is
            then a contour both maps have in common, which flatters. "removed": void makes no
            contour in either map, and contour pixels within the tolerance of void are not
            counted, though they still confirm others: where the truth has an outline in void
            nobody knows, and those outside must not suffer for it.

    Returns:
        The counts, int64 (B, K) each.

    Raises:
        ValueError: If a setting, a shape, a type or (on the CPU) a label is wrong.
    """
    check_boundary_f(num_classes, tolerance, void)
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    radius = tolerance_in_pixels(tolerance, truth.shape[-2], truth.shape[-1])
    is_void = equals(truth, num_classes)
    if void == "zeroed" or ignore_index is None:
        return match_contours(lift(pred, is_void, num_classes), truth, num_classes, radius)
    pred, truth = (lift(labels, is_void, num_classes + 1) for labels in (pred, truth))
    near_void = dilate_disk(is_void, radius)
    return match_contours(pred, truth, num_classes, radius, uncounted=near_void)


def boundary_f_scores(counts: ContourCounts) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F of contour counts.

    A contour in the prediction alone has recall 1, one in the truth alone precision 1; F is 0
    for both.

    Args:
        counts: int64, any shape.

    Returns:
        Precision, recall and F, float64 of the counts' shape; NaN where neither map has a contour.
    """
    precision = _share(counts.matched_pred, counts.pred)
    recall = _share(counts.matched_truth, counts.truth)
    both = precision + recall
    score = torch.where(both > 0, 2 * precision * recall / both, 0.0)
    absent = as_float64(counts.pred + counts.truth) == 0
    precision, recall, score = (
        values.masked_fill(absent, torch.nan) for values in (precision, recall, score)
    )
    return precision, recall, score


def _share(part: Tensor, whole: Tensor) -> Tensor:
    part, whole = as_float64(part), as_float64(whole)
    return torch.where(whole > 0, part / whole, 1.0)
