"""Boundary IoU of Cheng et al. (CVPR 2021), all classes of a label map at once."""

import math
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, equals, label_maps, lift
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.windows import differs_within, histograms

Void = Literal["transparent", "removed", "zeroed"]


def check_boundary_iou(
    num_classes: int,
    dilation_ratio: float,
    width: int | None,
    void: str,
    average: str | None = "macro",
) -> None:
    """Raise a ValueError where the settings of boundary IoU make no sense."""
    check_settings(
        num_classes,
        void=(void, ("transparent", "removed", "zeroed")),
        average=(average, ("macro", None)),
    )
    if not dilation_ratio > 0:
        raise ValueError(f"dilation_ratio is {dilation_ratio}; expected a share above 0, as 0.02.")
    if width is not None and not (isinstance(width, int) and width >= 1):
        raise ValueError(
            f"width is {width}; expected whole px, at least 1, or None for dilation_ratio."
        )


def boundary_width(height: int, width: int, dilation_ratio: float = 0.02) -> int:
    """Width of the boundary band in px: a share of the image diagonal, at least 1.

    Rounds halves to the even number, as the authors' code does.
    """
    return max(1, round(dilation_ratio * math.sqrt(height * height + width * width)))


def boundary_iou_counts(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    dilation_ratio: float = 0.02,
    width: int | None = None,
    ignore_index: int | None = None,
    void: Void = "transparent",
    border: bool = True,
) -> tuple[Tensor, Tensor]:
    """Intersection and union of the boundary bands of each class, summed over the batch.

    The band of a class are its pixels that have another label within `width` px (Chebyshev
    distance, that is, the mask without its erosion by a square). Cheng et al., "Boundary IoU",
    CVPR 2021, section 4, and the authors' code.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        dilation_ratio: Width of the band as a share of the image diagonal.
        width: Width of the band in px instead.
        ignore_index: The label of void pixels.
        void: What void pixels do. "transparent": they make no boundary, in neither map, and both
            look across them; a perfect prediction scores exactly 1. "removed": the truth's
            border with void is a boundary, the prediction knows nothing of void, and void pixels
            are left out afterwards. "zeroed": void is cut out of both maps first, so that its
            outline is a boundary both have in common, which flatters. Void pixels themselves are
            never counted.
        border: Whether the image border bounds the objects that touch it.

    Returns:
        Intersection and union, int64 (K,).

    Raises:
        ValueError: If a setting, a shape, a type or (on the CPU) a label is wrong.
    """
    check_boundary_iou(num_classes, dilation_ratio, width, void)
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    if width is None:
        width = boundary_width(truth.shape[-2], truth.shape[-1], dilation_ratio)
    is_void = equals(truth, num_classes)
    see_through = is_void if void == "transparent" else None
    if void == "zeroed":
        pred = lift(pred, is_void, num_classes)
    [in_pred] = differs_within(pred, [width], see_through)
    [in_truth] = differs_within(truth, [width], see_through)
    if border:
        rim = _image_rim(truth, width)
        in_pred |= rim
        in_truth |= rim
    pred = lift(pred, ~in_pred | is_void, num_classes)
    truth = lift(truth, ~in_truth, num_classes)
    common = lift(pred, pred != truth, num_classes)
    intersection, pred_size, truth_size = (
        histograms(labels, num_classes + 1).sum(dim=0)[:-1] for labels in (common, pred, truth)
    )
    return intersection, pred_size + truth_size - intersection


def boundary_iou(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    dilation_ratio: float = 0.02,
    width: int | None = None,
    ignore_index: int | None = None,
    void: Void = "transparent",
    border: bool = True,
    average: Average = "macro",
) -> Tensor:
    """Boundary IoU of a batch; see `boundary_iou_counts` for the arguments.

    Returns:
        float64: the mean over the classes that have a band in either map (NaN if none has), or
        with `average=None` (K,), NaN for classes without.
    """
    check_boundary_iou(num_classes, dilation_ratio, width, void, average)
    counts = boundary_iou_counts(
        preds, target, num_classes, dilation_ratio, width, ignore_index, void, border
    )
    return average_classes(ratio(*counts), average)


def _image_rim(labels: Tensor, width: int) -> Tensor:
    rim = torch.ones(labels.shape[-2:], dtype=torch.bool, device=labels.device)
    rim[width:-width, width:-width] = False
    return rim
