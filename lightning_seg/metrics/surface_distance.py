"""Surface distances as a torchmetrics metric."""

from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.labels import check_settings
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes
from lightning_seg.metrics.functional.surface_distance import (
    Missing,
    SurfaceVoid,
    check_surface_distance,
    surface_distances,
)

Measure = Literal["mean", "hausdorff", "both"]

# A pixel in fixed point: steps of 6e-8 px, enough range for millions of images.
PIXEL = 2**24
_ROWS = ("mean", "hausdorff")


class SurfaceDistance(SegmentationMetric):
    """Distance in pixels between the outlines of a class in prediction and ground truth.

    Computed per image and class, averaged over the images where prediction or ground truth has an
    outline of the class, then averaged over the classes; on the CPU. Distances are summed in steps
    of 2^-24 px. The `HausdorffDistance` of torchmetrics 1.9 is wrong on non-square images. For
    inputs, value and errors see `SegmentationMetric`.

    Args:
        num_classes: K, at least 2.
        measure: "mean" for the average symmetric surface distance, "hausdorff" for the larger of
            the two directed percentiles, "both" for (2,) or (2, K) in this order. Several in one
            MetricCollection share one computation.
        percentile: Percentile of the Hausdorff distance; 100 is the maximum.
        missing: Distance if only one map contains the class: "diagonal" (of the image),
            "infinite", or "skip", which leaves missed objects unpenalised.
        ignore_index: Label of ignored pixels.
        void: Treatment of ignored pixels, "transparent" or "zeroed"; see
            `lightning_seg.metrics.functional.surface_distances`.
        average: "macro" for the mean over classes, None for one value per class.

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

    higher_is_better = False
    plot_upper_bound = None

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
        self.add_sums((2, num_classes), "sums")
        self.add_sums(num_classes, "present", "infinite")
        self.add_settings(num_classes, percentile, missing, ignore_index, void)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the distances of a batch."""
        options = self.num_classes, self.percentile, self.missing, self.ignore_index, self.void
        distances = torch.stack(surface_distances(preds, target, *options))
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

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of the value."""
        return _ROWS if self.measure == "both" else ()
