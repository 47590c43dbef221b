"""Boundary IoU as a torchmetrics metric."""

from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.boundary_iou import (
    Void,
    boundary_iou_counts,
    check_boundary_iou,
)
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio


class BoundaryIoU(SegmentationMetric):
    """IoU of the bands along the inside of each class's boundary (Cheng et al., CVPR 2021).

    Intersections and unions are summed over the dataset; a class has a value if prediction or
    ground truth has a band of it. With `void="transparent"`, a perfect prediction scores exactly 1.
    For inputs, value and errors see `SegmentationMetric`.

    Args:
        num_classes: K, at least 2.
        dilation_ratio: Width of the band as a fraction of the image diagonal, at least 1 px.
        width: Width of the band in px; overrides `dilation_ratio`.
        ignore_index: Label of ignored pixels, which are never counted.
        void: Treatment of ignored pixels: "transparent" (they form no boundary), "removed" or
            "zeroed"; see `lightning_seg.metrics.functional.boundary_iou_counts`.
        border: Count the image border as a boundary of the objects that touch it.
        average: "macro" for the mean over classes, None for one value per class.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = BoundaryIoU(num_classes=2, width=2)
        >>> metric.update(target.roll(1, dims=2), target)
        >>> metric.compute()
        tensor(0.7143, dtype=torch.float64)
    """

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
        self.add_sums(num_classes, "intersection", "union")
        self.add_settings(num_classes, dilation_ratio, width, ignore_index, void, border)

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
