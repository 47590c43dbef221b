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
    """Raise ValueError if the settings of the boundary F-measure are invalid."""
    check_settings(
        num_classes, void=(void, ("zeroed", "removed")), average=(average, ("macro", None))
    )
    if not 0 <= tolerance < math.inf or (tolerance >= 1 and tolerance != int(tolerance)):
        raise ValueError(
            f"tolerance is {tolerance}; expected a fraction of the image diagonal below 1, "
            "or a whole number of px."
        )


def tolerance_in_pixels(tolerance: float, height: int, width: int) -> int:
    """Return the tolerance in px; below 1 it is a fraction of the diagonal, rounded up.

    Example:
        >>> tolerance_in_pixels(0.008, 360, 480), tolerance_in_pixels(3, 360, 480)
        (5, 3)
    """
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
    """Count the contour pixels of each image and class, and those matched in the other map.

    Contours are one pixel wide and shifted half a pixel towards the origin; image borders are not
    contours. A contour pixel is matched if the other map has a contour pixel of the same class
    within the tolerance (a disk; many-to-one).

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        tolerance: Below 1, a fraction of the image diagonal (rounded up to whole px); from 1 on,
            px.
        ignore_index: Label of ignored pixels.
        void: "zeroed": ignored pixels are cut out of both maps first, as in the public code. Their
            outline is then a contour shared by both maps, which inflates the scores. "removed":
            ignored pixels form no contour in either map, and contour pixels within the tolerance
            of them are not counted. These can still match other contour pixels, because the
            ground truth may continue inside the ignored area.

    Returns:
        The counts, int64 (B, K) each.

    Example:
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> counts = boundary_f_counts(target.roll(1, dims=2), target, num_classes=2, tolerance=1)
        >>> counts.pred, counts.matched_pred
        (tensor([[16, 16]]), tensor([[8, 8]]))
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
    """Return precision, recall and F of contour counts.

    If only the prediction has a contour, recall is 1; if only the ground truth has one, precision
    is 1. F is 0 in both cases.

    Args:
        counts: int64, any shape.

    Returns:
        Precision, recall and F, float64 in the shape of the counts; NaN where neither map has a
        contour.

    Example:
        >>> one, two = torch.tensor([1]), torch.tensor([2])
        >>> boundary_f_scores(ContourCounts(two, one, two, two))[2]
        tensor([0.6667], dtype=torch.float64)
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


def surface_dice(counts: ContourCounts) -> Tensor:
    """Return the normalised surface Dice of contour counts (Nikolov et al., 2021).

    The share of both contours' pixels together that lie within the tolerance of the other contour.

    Args:
        counts: int64, any shape.

    Returns:
        float64 in the shape of the counts; NaN where neither map has a contour.

    Example:
        >>> one, two = torch.tensor([1]), torch.tensor([2])
        >>> surface_dice(ContourCounts(two, one, two, two))
        tensor([0.7500], dtype=torch.float64)
    """
    matched = as_float64(counts.matched_pred + counts.matched_truth)
    return matched / as_float64(counts.pred + counts.truth)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    part, whole = as_float64(part), as_float64(whole)
    return torch.where(whole > 0, part / whole, 1.0)
