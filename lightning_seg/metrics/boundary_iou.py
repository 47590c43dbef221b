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

    Intersections and unions are summed over the dataset as int64, so the result is bit-exact for
    any batch size, order and number of processes. With `void="transparent"`, a perfect prediction
    scores exactly 1.

    `update(preds, target)` takes labels (B, H, W) or scores (B, K, H, W), which are reduced by
    argmax, and ground-truth labels (B, H, W). `compute()` returns float64: the mean over the
    classes with a boundary band in prediction or ground truth (NaN if there are none), or (K,)
    with NaN for classes without one.

    Args:
        num_classes: K, at least 2.
        dilation_ratio: Width of the band as a fraction of the image diagonal, at least 1 px.
        width: Width of the band in px; overrides `dilation_ratio`.
        ignore_index: Label of ignored pixels, which are never counted. A predicted pixel with
            this label belongs to no class.
        void: Treatment of ignored pixels: "transparent" (they form no boundary), "removed" or
            "zeroed"; see `lightning_seg.metrics.functional.boundary_iou_counts`.
        border: Count the image border as a boundary of the objects that touch it.
        average: "macro" for the mean over classes, None for one value per class.

    Raises:
        ValueError: If the settings are invalid; in `update`, if shapes, dtypes or (on the CPU)
            labels are.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = BoundaryIoU(num_classes=2, width=2)
        >>> metric.update(target.roll(1, dims=2), target)
        >>> metric.compute()
        tensor(0.7143, dtype=torch.float64)
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
        """Add the counts of a batch."""
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
        """Return the score over all updates."""
        return average_classes(ratio(self.intersection, self.union), self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`), or a sequence of values as a curve."""
        return self._plot(val, ax)
