"""Trimap IoU as a torchmetrics metric."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_seg.errors import needs
from lightning_seg.metrics.base import Plot, SegmentationMetric, Value
from lightning_seg.metrics.functional.ratios import Average, average_classes, ratio
from lightning_seg.metrics.functional.trimap_iou import (
    Band,
    Region,
    check_trimap_iou,
    counts_in_region,
    trimap_counts_by_level,
)

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes


class TrimapIoU(SegmentationMetric):
    """IoU inside or outside bands of increasing width around the ground-truth boundaries.

    Intersections and unions are summed over the dataset. For inputs, value and errors see
    `SegmentationMetric`.
    The value has a leading axis of the W widths; with `region="both"`, one of boundary and interior
    before it. A class has a value if it is present in the region.

    Args:
        num_classes: K, at least 2.
        widths: W half-widths of the bands in px (Chebyshev distance). A single number gives a value
            without the axis of widths, for torchmetrics' ``ClasswiseWrapper`` and for ``log_dict``.
        region: "boundary" for the IoU inside the band, "interior" for the IoU outside it, "both".
            Several in one MetricCollection share one count.
        band: "transition" (where two classes meet; ignored pixels and image borders form no band),
            "per_class" (Cheng et al., CVPR 2021) or "void" (DeepLab's script for VOC); see
            `lightning_seg.metrics.functional.trimap_iou_counts`.
        ignore_index: Label of ignored pixels, which are never counted.
        average: "macro" for the mean over classes, None for one value per class.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = TrimapIoU(num_classes=2, widths=(1, 3))
        >>> metric.update(target.roll(1, dims=2), target)
        >>> metric.compute()
        tensor([0.5990, 0.8414], dtype=torch.float64)
    """

    intersection: Tensor
    union: Tensor
    single = False  # for metrics pickled before this option existed

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] | int = (1, 2, 3, 5, 10),
        region: Region = "boundary",
        band: Band = "transition",
        ignore_index: int | None = None,
        average: Average = "macro",
    ) -> None:
        super().__init__()
        self.single = not isinstance(widths, Iterable)
        widths = tuple(widths) if isinstance(widths, Iterable) else (int(widths),)
        check_trimap_iou(num_classes, widths, region, band, average)
        self.num_classes = num_classes
        self.widths = widths
        self.region: Region = region
        self.band: Band = band
        self.ignore_index = ignore_index
        self.average: Average = average
        distinct = sorted(set(self.widths))
        self.add_sums((len(distinct) + 1, num_classes), "intersection", "union")
        self.add_settings(num_classes, distinct, band, ignore_index)

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
        values = ratio(*counts)
        return average_classes(values.squeeze(-2) if self.single else values, self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`) as curves over the band width."""
        value = self.compute() if val is None else val
        if not isinstance(value, Tensor):
            return self._plot(value, ax)
        with needs("callbacks", "A plot"):
            import matplotlib.pyplot as plt

        rows = ("boundary", "interior") if self.region == "both" else ("",)
        figure, axes = plt.subplots() if ax is None else (None, ax)
        order = sorted(range(len(self.widths)), key=lambda i: self.widths[i])
        by_row = value.detach().cpu().reshape(len(rows), len(self.widths), -1)[:, order]
        classes = by_row.shape[-1]
        for row, curves in zip(rows, by_row, strict=True):
            for k in range(classes):
                label = " ".join(part for part in (row, f"{k}" if classes > 1 else "") if part)
                axes.plot(sorted(self.widths), curves[:, k], marker="o", label=label or None)
        axes.set(xlabel="width, px", ylabel=type(self).__name__, ylim=(-0.02, 1.02))
        axes.grid(True)
        if len(rows) > 1 or classes > 1:
            axes.legend()
        return figure, axes
