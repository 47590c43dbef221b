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

# A pixel in fixed point: steps of 6e-8 px, room for millions of images.
PIXEL = 2**24
_ROWS = ("mean", "hausdorff")


class SurfaceDistance(Metric):
    """Distance in pixels between the outlines of a class in prediction and truth.

    Taken for each image and class, then averaged over the images in which prediction or truth have
    an outline of the class, then over the classes. Distances are added up in int64 fixed point
    (steps of 2^-24 px), so the result is the same to the bit for any batch size, order and number
    of processes. torchmetrics 1.9's own `HausdorffDistance` is wrong on images that are not square.

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W), and works on the CPU. `compute()` returns float64: the mean
    over the classes that have a distance (NaN if none has), or (K,) with NaN for classes without.

    Args:
        num_classes: K, at least 2.
        measure: "mean" for the average symmetric surface distance, "hausdorff" for the larger of
            the two directed percentiles, "both" for (2,) or (2, K) in this order. Several in one
            MetricCollection are counted once.
        percentile: Of the Hausdorff distance; 100 is the largest distance itself.
        missing: The distance where only one map has the class: "diagonal" of the image,
            "infinite", or "skip", which lets objects be missed for nothing.
        ignore_index: The label of void pixels. A predicted pixel with this label belongs to no
            class.
        void: "transparent" or "zeroed"; see `lightning_seg.metrics.functional.surface_distances`.
        average: "macro" for the mean over classes, None for a value a class.

    Raises:
        ValueError: For settings that make no sense; in `update` for shapes, types or, on the CPU,
            labels other than the above.
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
        """Count a batch."""
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
        """The mean distance of all that was counted."""
        per_class = as_float64(self.sums) / PIXEL / as_float64(self.present)
        per_class = per_class.masked_fill(self.infinite.to(per_class.device) > 0, torch.inf)
        values = average_classes(per_class, self.average)
        return values if self.measure == "both" else values[_ROWS.index(self.measure)]

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Draws a value, by default that of all that was counted, or several as a series."""
        if self.measure != "both" or not (val is None or isinstance(val, Tensor)):
            return self._plot(val, ax)
        value = self.compute() if val is None else val
        return plot_named_rows(type(self).__name__, _ROWS, value, ax)
