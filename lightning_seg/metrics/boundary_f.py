"""Boundary F-measure as a torchmetrics metric."""

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.boundary_f import (
    ContourVoid,
    boundary_f_counts,
    boundary_f_scores,
    check_boundary_f,
)
from lightning_seg.metrics.functional.contours import ContourCounts
from lightning_seg.metrics.functional.labels import check_settings
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes
from lightning_seg.metrics.plotting import Plot, Value, plot_named_rows

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes

ContourScore = Literal["f", "precision", "recall", "all"]

# A score of 1 in fixed point: steps of 2.3e-13, room for two million images.
ONE = 2**42
_ROWS = ("f", "precision", "recall")


class BoundaryFMeasure(Metric):
    """F-measure of contour pixels within a tolerance, of the DAVIS benchmark (CVPR 2016).

    By default F is taken for each image and class, then averaged over the images in which the
    class has a contour in prediction or truth, then over the classes. Scores are added up in
    int64 fixed point (steps of 2^-42), so the result is the same to the bit for any batch size,
    order and number of processes.

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W). `compute()` returns float64: the mean over the classes
    that have a score (NaN if none has), or (K,) with NaN for classes without.

    Args:
        num_classes: K, at least 2.
        tolerance: Below 1 a share of each image's diagonal (rounded up to whole px), otherwise px.
        ignore_index: The label of void pixels. A predicted pixel with this label belongs to no
            class.
        void: "zeroed", the public codes' way, which flatters where prediction and truth meet
            void, or "removed"; see `lightning_seg.metrics.functional.boundary_f_counts`.
        average: "macro" for the mean over classes, None for a value a class.
        pooled: Add up the counts over the data set and take one F a class from them.
        absent_score: What a class scores in an image (with `pooled`, in the data set) in which
            neither map has a contour of it; None leaves it out. The public codes give 1, which
            flatters rare classes.
        score: "f", "precision" (predicted contour that the truth confirms), "recall" (true contour
            that the prediction finds), averaged as F is, or "all" for (3,) or (3, K) in this
            order. Several in one MetricCollection are counted once.

    Raises:
        ValueError: For settings that make no sense; in `update` for shapes, types or, on the CPU,
            labels other than the above.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    counts: Tensor
    scores: Tensor
    present: Tensor
    images: Tensor

    def __init__(
        self,
        num_classes: int,
        tolerance: float = 0.008,
        ignore_index: int | None = None,
        void: ContourVoid = "zeroed",
        average: Average = "macro",
        pooled: bool = False,
        absent_score: float | None = None,
        score: ContourScore = "f",
    ) -> None:
        super().__init__()
        check_boundary_f(num_classes, tolerance, void, average)
        check_settings(num_classes, score=(score, get_args(ContourScore)))
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        self.void: ContourVoid = void
        self.average: Average = average
        self.pooled = pooled
        self.absent_score = absent_score
        self.score: ContourScore = score
        zeros = torch.zeros(num_classes, dtype=torch.int64)
        if pooled:
            self.add_state("counts", zeros.repeat(4, 1), dist_reduce_fx="sum")
        else:
            self.add_state("scores", zeros.repeat(3, 1), dist_reduce_fx="sum")
            self.add_state("present", zeros, dist_reduce_fx="sum")
            self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, tolerance, ignore_index, void)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        counts = boundary_f_counts(
            preds, target, self.num_classes, self.tolerance, self.ignore_index, self.void
        )
        if self.pooled:
            self.counts = self.counts + torch.stack(counts).sum(dim=1)
            return
        scores = _rows(counts)
        fixed = torch.round(scores.nan_to_num(nan=0.0) * ONE).long()
        present = ~scores[0].isnan()
        self.scores = self.scores + fixed.sum(dim=1).to(self.scores.device)
        self.present = self.present + present.sum(dim=0).to(self.present.device)
        self.images = self.images + scores.shape[1]

    def compute(self) -> Tensor:
        """The score of all that was counted."""
        values = average_classes(self._per_class(), self.average)
        return values if self.score == "all" else values[_ROWS.index(self.score)]

    def _per_class(self) -> Tensor:
        if self.pooled:
            scores = _rows(ContourCounts(*self.counts))
            if self.absent_score is None:
                return scores
            return torch.where(scores.isnan(), self.absent_score, scores)
        total, present = as_float64(self.scores) / ONE, as_float64(self.present)
        if self.absent_score is None:
            return total / present
        images = as_float64(self.images)
        return (total + self.absent_score * (images - present)) / images

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Draws a value, by default that of all that was counted, or several as a series."""
        if self.score != "all" or not (val is None or isinstance(val, Tensor)):
            return self._plot(val, ax)
        value = self.compute() if val is None else val
        return plot_named_rows(type(self).__name__, _ROWS, value, ax)


def _rows(counts: ContourCounts) -> Tensor:
    precision, recall, score = boundary_f_scores(counts)
    return torch.stack([score, precision, recall])
