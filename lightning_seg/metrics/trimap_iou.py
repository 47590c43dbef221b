"""Trimap IoU as a torchmetrics metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.trimap_iou import (
    Band,
    Region,
    check_trimap_iou,
    counts_in_region,
    trimap_counts_by_level,
)
from lightning_seg.metrics.plotting import Plot, Value, plot_over_widths

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes


class TrimapIoU(Metric):
    """IoU inside (or outside of) bands of growing width around the true boundaries.

    Intersections and unions are added up over the data set as int64, so the result is the same
    to the bit for any batch size, order and number of processes.

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W). `compute()` returns float64 (W,), for each width the mean
    over the classes present there (NaN if none is), or (W, K) with NaN for classes absent; with
    `region="both"` a first axis of two, boundary and interior.

    Args:
        num_classes: K, at least 2.
        widths: Half-widths of the bands in px (Chebyshev distance), W of them.
        region: "boundary" for the IoU in the band, "interior" for the IoU in the rest, "both".
            Several in one MetricCollection are counted once.
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
        zeros = torch.zeros((len(set(self.widths)) + 1, num_classes), dtype=torch.int64)
        self.add_state("intersection", zeros, dist_reduce_fx="sum")
        self.add_state("union", zeros.clone(), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, sorted(set(self.widths)), band, ignore_index)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        intersection, union = trimap_counts_by_level(
            preds, target, self.num_classes, self.widths, self.band, self.ignore_index
        )
        self.intersection = self.intersection + intersection
        self.union = self.union + union

    def compute(self) -> Tensor:
        """The score at each width of all that was counted."""
        counts = (
            counts_in_region(levels, self.widths, self.region)
            for levels in (self.intersection, self.union)
        )
        return average_classes(ratio(*counts), self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Draws a value, by default that of all that was counted, as curves over the width."""
        value = self.compute() if val is None else val
        if not isinstance(value, Tensor):
            return self._plot(value, ax)
        rows = ("boundary", "interior") if self.region == "both" else ("",)
        return plot_over_widths(type(self).__name__, self.widths, value, ax, rows)
