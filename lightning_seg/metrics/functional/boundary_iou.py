"""Boundary IoU of Cheng et al. (CVPR 2021), all classes of a label map at once."""

import math
from typing import Literal

from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, equals, label_maps, lift
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.windows import differs_within, overlaps

Void = Literal["transparent", "removed", "zeroed"]


def check_boundary_iou(
    num_classes: int,
    dilation_ratio: float,
    width: int | None,
    void: str,
    average: str | None = "macro",
) -> None:
    """Raise ValueError if the settings of boundary IoU are invalid."""
    check_settings(
        num_classes,
        void=(void, ("transparent", "removed", "zeroed")),
        average=(average, ("macro", None)),
    )
    if not dilation_ratio > 0:
        raise ValueError(
            f"dilation_ratio is {dilation_ratio}; expected a fraction above 0, such as 0.02."
        )
    if width is not None and not (isinstance(width, int) and width >= 1):
        raise ValueError(
            f"width is {width}; expected a whole number of px, at least 1, or None to use "
            "dilation_ratio."
        )


def boundary_width(height: int, width: int, dilation_ratio: float = 0.02) -> int:
    """Return the width of the boundary band in px: a fraction of the diagonal, at least 1.

    Halves are rounded to even, as in the authors' code.

    Example:
        >>> boundary_width(1024, 2048)
        46
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
    """Return intersection and union of each class's boundary bands, summed over the batch.

    The band of a class consists of its pixels with another label within `width` px (Chebyshev
    distance), i.e. the mask minus its erosion by a square. Cheng et al., "Boundary IoU", CVPR
    2021, section 4, and the authors' code.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        dilation_ratio: Width of the band as a fraction of the image diagonal.
        width: Width of the band in px; overrides `dilation_ratio`.
        ignore_index: Label of ignored pixels, which are never counted.
        void: Treatment of ignored pixels. "transparent": they form no boundary in either map, and
            bands reach across them; a perfect prediction scores exactly 1. "removed": the border
            of the ground truth with ignored pixels is a boundary, the prediction is used as it is,
            and ignored pixels are dropped afterwards. "zeroed": ignored pixels are cut out of both
            maps first, so their outline is a boundary shared by both, which inflates the score.
        border: Count the image border as a boundary of the objects that touch it.

    Returns:
        Intersection and union, int64 (K,).

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> boundary_iou_counts(target, target, num_classes=2, width=1, border=False)
        (tensor([8, 8]), tensor([8, 8]))
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
        _mark_rim(in_pred, width)
        _mark_rim(in_truth, width)
    pred = lift(pred, ~in_pred | is_void, num_classes)
    truth = lift(truth, ~in_truth, num_classes)
    intersection, pred_size, truth_size = (
        counts.sum(dim=0)[:-1] for counts in overlaps(pred, truth, num_classes)
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
    """Return the boundary IoU of a batch; see `boundary_iou_counts` for the arguments.

    Returns:
        float64: the mean over the classes with a band in either map (NaN if there are none), or
        with `average=None` (K,), NaN for classes without one.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> boundary_iou(target.roll(1, dims=2), target, num_classes=2, width=2)
        tensor(0.6000, dtype=torch.float64)
    """
    check_boundary_iou(num_classes, dilation_ratio, width, void, average)
    counts = boundary_iou_counts(
        preds, target, num_classes, dilation_ratio, width, ignore_index, void, border
    )
    return average_classes(ratio(*counts), average)


def _mark_rim(maps: Tensor, width: int) -> None:
    """Set the pixels within ``width`` of the image border."""
    for side in (-1, -2):
        length = maps.shape[side]
        reach = min(width, length)
        maps.narrow(side, 0, reach).fill_(True)
        maps.narrow(side, length - reach, reach).fill_(True)
