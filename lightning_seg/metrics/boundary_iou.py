"""Boundary IoU as a torchmetrics metric."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.boundary_iou import (
    Void,
    boundary_iou_counts,
    check_boundary_iou,
)
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.plotting import Plot, Value

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes


class BoundaryIoU(Metric):
    """IoU of the bands along the inside of each class's boundary (Cheng et al., CVPR 2021).

    Intersections and unions are added up over the data set as int64, so the result is the same
    to the bit for any batch size, order and number of processes. A perfect prediction scores 1
    (with `void="transparent"`).

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W). `compute()` returns float64: the mean over the classes
    that have a boundary band in prediction or truth (NaN if none has), or (K,) with NaN for
    classes without.

    Args:
        num_classes: K, at least 2.
        dilation_ratio: Width of the band as a share of each image's diagonal, at least 1 px.
        width: Width of the band in px instead.
        ignore_index: The label of void pixels, which are never counted. A predicted pixel with
            this label belongs to no class.
        void: "transparent" (void makes no boundary), "removed" or "zeroed"; see
            `lightning_seg.metrics.functional.boundary_iou_counts`.
        border: Whether the image border bounds the objects that touch it.
        average: "macro" for the mean over classes, None for a value a class.

    Raises:
        ValueError: For settings that make no sense; in `update` for shapes, types or, on the CPU,
            labels other than the above.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    intersection: Tensor
    union: Tensor

    def __init__(
        self,
        num_classes: int,
        dilation_ratio: float = 0.02,
        width: int | None = None,
        ignore_index: int | None = None,
        void: Void = "transparent",
        border: bool = True,
        average: Average = "macro",
    ) -> None:
        super().__init__()
        check_boundary_iou(num_classes, dilation_ratio, width, void, average)
        self.num_classes = num_classes
        self.dilation_ratio = dilation_ratio
        self.width = width
        self.ignore_index = ignore_index
        self.void: Void = void
        self.border = border
        self.average: Average = average
        zeros = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("intersection", zeros, dist_reduce_fx="sum")
        self.add_state("union", zeros.clone(), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, dilation_ratio, width, ignore_index, void, border)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        intersection, union = boundary_iou_counts(
            preds,
            target,
            self.num_classes,
            self.dilation_ratio,
            self.width,
            self.ignore_index,
            self.void,
            self.border,
        )
        self.intersection = self.intersection + intersection
        self.union = self.union + union

    def compute(self) -> Tensor:
        """The score of all that was counted."""
        return average_classes(ratio(self.intersection, self.union), self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Draws a value, by default that of all that was counted, or several as a series."""
        return self._plot(val, ax)
