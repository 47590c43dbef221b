"""Trimap IoU as a torchmetrics metric."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.trimap_iou import (
    Band,
    Region,
    check_trimap_iou,
    trimap_iou_counts,
)


class TrimapIoU(Metric):
    """IoU inside (or outside of) bands of growing width around the true boundaries.

    Intersections and unions are added up over the data set as int64, so the result is the same
    to the bit for any batch size, order and number of processes.

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W). `compute()` returns float64 (W,), for each width the mean
    over the classes present there (NaN if none is), or (W, K) with NaN for classes absent.

    Args:
        num_classes: K, at least 2.
        widths: Half-widths of the bands in px (Chebyshev distance), W of them.
        region: "boundary" for the IoU in the band, "interior" for the IoU in the rest.
        band: "transition" (two classes meet; void and image borders make no band), "per_class"
            (Cheng et al., CVPR 2021) or "void" (DeepLab's script for VOC); see
            `lightning_seg.metrics.functional.trimap_iou_counts`.
        ignore_index: The label of void pixels, which are never counted. A predicted pixel with
            this label belongs to no class.
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
        widths: Sequence[int] = (1, 2, 3, 5, 10),
        region: Region = "boundary",
        band: Band = "transition",
        ignore_index: int | None = None,
        average: Average = "macro",
    ) -> None:
        super().__init__()
        check_trimap_iou(num_classes, widths, region, band, average)
        self.num_classes = num_classes
        self.widths = tuple(widths)
        self.region: Region = region
        self.band: Band = band
        self.ignore_index = ignore_index
        self.average: Average = average
        zeros = torch.zeros((len(self.widths), num_classes), dtype=torch.int64)
        self.add_state("intersection", zeros, dist_reduce_fx="sum")
        self.add_state("union", zeros.clone(), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, self.widths, region, band, ignore_index)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        intersection, union = trimap_iou_counts(
            preds,
            target,
            self.num_classes,
            self.widths,
            self.region,
            self.band,
            self.ignore_index,
        )
        self.intersection = self.intersection + intersection
        self.union = self.union + union

    def compute(self) -> Tensor:
        """The score at each width of all that was counted."""
        return average_classes(ratio(self.intersection, self.union), self.average)
