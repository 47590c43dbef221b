"""Boundary F-measure as a torchmetrics metric."""

from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.boundary_f import (
    ContourVoid,
    boundary_f_counts,
    boundary_f_scores,
    check_boundary_f,
    surface_dice,
)
from lightning_seg.metrics.functional.contours import ContourCounts
from lightning_seg.metrics.functional.labels import check_settings
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes

ContourScore = Literal["f", "precision", "recall", "surface_dice", "all"]

# A score of 1 in fixed point: steps of 2.3e-13, enough range for two million images.
ONE = 2**42
_ROWS = ("f", "precision", "recall", "surface_dice")


class BoundaryFMeasure(SegmentationMetric):
    """F-measure of contour pixels within a tolerance, from the DAVIS benchmark (CVPR 2016).

    By default F is computed per image and class, averaged over the images where the class has a
    contour in prediction or ground truth, then averaged over the classes. Scores are summed in
    steps of 2^-42. For inputs, value and errors see `SegmentationMetric`.

    Args:
        num_classes: K, at least 2.
        tolerance: Below 1, a fraction of the image diagonal (rounded up to whole px); from 1 on,
            px.
        ignore_index: Label of ignored pixels.
        void: Treatment of ignored pixels: "zeroed", as in the public code, which inflates scores
            where prediction and ground truth touch ignored pixels, or "removed"; see
            `lightning_seg.metrics.functional.boundary_f_counts`.
        average: "macro" for the mean over classes, None for one value per class.
        pooled: Sum the counts over the dataset and compute one F per class from them.
        absent_score: Score of a class in an image (with `pooled`, in the dataset) where neither
            map has a contour of it; None leaves it out. The public code uses 1, which inflates
            the scores of rare classes.
        score: "f", "precision" (fraction of the predicted contour matched by the ground truth),
            "recall" (fraction of the true contour matched by the prediction), "surface_dice" (the
            normalised surface Dice: fraction of both contours), averaged like F, or "all" for (4,)
            or (4, K) in this order. Several in one MetricCollection share one count.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = BoundaryFMeasure(num_classes=2, tolerance=1)
        >>> metric.update(target.roll(2, dims=2), target)
        >>> metric.compute()
        tensor(0.5312, dtype=torch.float64)
    """

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
        if pooled:
            self.add_sums((4, num_classes), "counts")
        else:
            self.add_sums((len(_ROWS), num_classes), "scores")
            self.add_sums(num_classes, "present")
            self.add_sums((), "images")
        self.add_settings(num_classes, tolerance, ignore_index, void)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the counts of a batch."""
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
        """Return the score over all updates."""
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

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of the value."""
        return _ROWS if self.score == "all" else ()


def _rows(counts: ContourCounts) -> Tensor:
    precision, recall, score = boundary_f_scores(counts)
    return torch.stack([score, precision, recall, surface_dice(counts)])
