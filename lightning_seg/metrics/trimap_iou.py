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
    """IoU inside or outside bands of increasing width around the ground-truth boundaries.

    Intersections and unions are summed over the dataset as int64, so the result is bit-exact for
    any batch size, order and number of processes.

    `update(preds, target)` takes labels (B, H, W) or scores (B, K, H, W), which are reduced by
    argmax, and ground-truth labels (B, H, W). `compute()` returns float64 (W,): for each width,
    the mean over the classes present in the region (NaN if there are none), or (W, K) with NaN for
    absent classes. With `region="both"` a leading axis holds boundary and interior.

    Args:
        num_classes: K, at least 2.
        widths: W half-widths of the bands in px (Chebyshev distance).
        region: "boundary" for the IoU inside the band, "interior" for the IoU outside it, "both".
            Several in one MetricCollection share one count.
        band: "transition" (where two classes meet; ignored pixels and image borders form no band),
            "per_class" (Cheng et al., CVPR 2021) or "void" (DeepLab's script for VOC); see
            `lightning_seg.metrics.functional.trimap_iou_counts`.
        ignore_index: Label of ignored pixels, which are never counted. A predicted pixel with
            this label belongs to no class.
        average: "macro" for the mean over classes, None for one value per class.

    Raises:
        ValueError: If the settings are invalid; in `update`, if shapes, dtypes or (on the CPU)
            labels are.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = TrimapIoU(num_classes=2, widths=(1, 3))
        >>> metric.update(target.roll(1, dims=2), target)
        >>> metric.compute()
        tensor([0.5990, 0.8414], dtype=torch.float64)
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
        """Add the counts of a batch."""
        intersection, union = trimap_counts_by_level(
            preds, target, self.num_classes, self.widths, self.band, self.ignore_index
        )
        self.intersection = self.intersection + intersection
        self.union = self.union + union

    def compute(self) -> Tensor:
        """Return the score at each width over all updates."""
        counts = (
            counts_in_region(levels, self.widths, self.region)
            for levels in (self.intersection, self.union)
        )
        return average_classes(ratio(*counts), self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`) as curves over the band width."""
        value = self.compute() if val is None else val
        if not isinstance(value, Tensor):
            return self._plot(value, ax)
        rows = ("boundary", "interior") if self.region == "both" else ("",)
        return plot_over_widths(type(self).__name__, self.widths, value, ax, rows)
