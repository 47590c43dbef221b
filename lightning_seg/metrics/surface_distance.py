"""Surface distances as a torchmetrics metric."""

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.labels import check_settings
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes
from lightning_seg.metrics.functional.surface_distance import (
    Missing,
    SurfaceVoid,
    check_surface_distance,
    surface_distances,
)
from lightning_seg.metrics.plotting import Plot, Value, plot_named_rows

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes

Measure = Literal["mean", "hausdorff", "both"]

# A pixel in fixed point: steps of 6e-8 px, enough range for millions of images.
PIXEL = 2**24
_ROWS = ("mean", "hausdorff")


class SurfaceDistance(Metric):
    """Distance in pixels between the outlines of a class in prediction and ground truth.

    Computed per image and class, averaged over the images where prediction or ground truth has an
    outline of the class, then averaged over the classes. Distances are summed in int64 fixed point
    (steps of 2^-24 px), so the result is bit-exact for any batch size, order and number of
    processes. The `HausdorffDistance` of torchmetrics 1.9 is wrong on non-square images.

    `update(preds, target)` takes labels (B, H, W) or scores (B, K, H, W), which are reduced by
    argmax, and ground-truth labels (B, H, W); it computes on the CPU. `compute()` returns float64:
    the mean over the classes with a distance (NaN if there are none), or (K,) with NaN for classes
    without one.

    Args:
        num_classes: K, at least 2.
        measure: "mean" for the average symmetric surface distance, "hausdorff" for the larger of
            the two directed percentiles, "both" for (2,) or (2, K) in this order. Several in one
            MetricCollection share one computation.
        percentile: Percentile of the Hausdorff distance; 100 is the maximum.
        missing: Distance if only one map contains the class: "diagonal" (of the image),
            "infinite", or "skip", which leaves missed objects unpenalised.
        ignore_index: Label of ignored pixels. A predicted pixel with this label belongs to no
            class.
        void: Treatment of ignored pixels, "transparent" or "zeroed"; see
            `lightning_seg.metrics.functional.surface_distances`.
        average: "macro" for the mean over classes, None for one value per class.

    Raises:
        ValueError: If the settings are invalid; in `update`, if shapes, dtypes or (on the CPU)
            labels are.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = SurfaceDistance(num_classes=2, measure="both", average=None)
        >>> metric.update(target.roll(2, dims=2), target)
        >>> metric.compute()
        tensor([[0.3555, 1.0000],
                [2.0000, 2.0000]], dtype=torch.float64)
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    plot_lower_bound = 0.0

    sums: Tensor
    present: Tensor
    infinite: Tensor

    def __init__(
        self,
        num_classes: int,
        measure: Measure = "mean",
        percentile: float = 95.0,
        missing: Missing = "diagonal",
        ignore_index: int | None = None,
        void: SurfaceVoid = "transparent",
        average: Average = "macro",
    ) -> None:
        super().__init__()
        check_surface_distance(num_classes, percentile, missing, void, average)
        check_settings(num_classes, measure=(measure, get_args(Measure)))
        self.num_classes = num_classes
        self.measure: Measure = measure
        self.percentile = percentile
        self.missing: Missing = missing
        self.ignore_index = ignore_index
        self.void: SurfaceVoid = void
        self.average: Average = average
        zeros = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("sums", zeros.repeat(2, 1), dist_reduce_fx="sum")
        self.add_state("present", zeros, dist_reduce_fx="sum")
        self.add_state("infinite", zeros.clone(), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, percentile, missing, ignore_index, void)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the distances of a batch."""
        distances = torch.stack(
            surface_distances(
                preds,
                target,
                self.num_classes,
                self.percentile,
                self.missing,
                self.ignore_index,
                self.void,
            )
        )
        finite = torch.where(distances.isfinite(), distances, 0.0)
        fixed = torch.round(finite * PIXEL).long().sum(dim=1)
        self.sums = self.sums + fixed.to(self.sums.device)
        self.present = self.present + (~distances[0].isnan()).sum(dim=0).to(self.present.device)
        self.infinite = self.infinite + distances[0].isinf().sum(dim=0).to(self.infinite.device)

    def compute(self) -> Tensor:
        """Return the mean distance over all updates."""
        per_class = as_float64(self.sums) / PIXEL / as_float64(self.present)
        per_class = per_class.masked_fill(self.infinite.to(per_class.device) > 0, torch.inf)
        values = average_classes(per_class, self.average)
        return values if self.measure == "both" else values[_ROWS.index(self.measure)]

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`), or a sequence of values as a curve."""
        if self.measure != "both" or not (val is None or isinstance(val, Tensor)):
            return self._plot(val, ax)
        value = self.compute() if val is None else val
        return plot_named_rows(type(self).__name__, _ROWS, value, ax)
