"""E-measure as a torchmetrics metric."""

import torch
from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.e_measure import (
    Normalize,
    RegionVoid,
    check_e_measure,
    e_measure,
)
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes

# A score of 1 in fixed point: steps of 2.3e-13, enough range for a million images.
ONE = 2**42


class EMeasure(SegmentationMetric):
    """Enhanced-alignment measure of each class against the rest (Fan et al., IJCAI 2018).

    Computed per image and class, averaged over the images where prediction or ground truth
    contains the class, then averaged over the classes, as reported by SEMEDA (Chen et al., 2020).
    Scores are summed in steps of 2^-42. For inputs, value and errors see `SegmentationMetric`.

    Args:
        num_classes: K, at least 2.
        ignore_index: Label of ignored pixels.
        void: Treatment of ignored pixels, "removed" or "zeroed"; see
            `lightning_seg.metrics.functional.e_measure`.
        normalize: "N-1", as in the public code, or "N".
        average: "macro" for the mean over classes, None for one value per class.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 32, 32, dtype=torch.long)
        >>> target[:, 8:24, 8:24] = 1
        >>> metric = EMeasure(num_classes=2, normalize="N")
        >>> metric.update(target.roll(1, dims=2), target)
        >>> metric.compute()
        tensor(0.9700, dtype=torch.float64)
    """

    scores: Tensor
    present: Tensor

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        void: RegionVoid = "removed",
        normalize: Normalize = "N-1",
        average: Average = "macro",
    ) -> None:
        super().__init__()
        check_e_measure(num_classes, void, normalize, average)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.void: RegionVoid = void
        self.normalize: Normalize = normalize
        self.average: Average = average
        self.add_sums(num_classes, "scores", "present")
        self.add_settings(num_classes, ignore_index, void, normalize)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the scores of a batch."""
        scores = e_measure(
            preds, target, self.num_classes, self.ignore_index, self.void, self.normalize
        )
        fixed = torch.round(scores.nan_to_num(nan=0.0) * ONE).long()
        self.scores = self.scores + fixed.sum(dim=0).to(self.scores.device)
        self.present = self.present + (~scores.isnan()).sum(dim=0).to(self.present.device)

    def compute(self) -> Tensor:
        """Return the score over all updates."""
        per_class = as_float64(self.scores) / ONE / as_float64(self.present)
        return average_classes(per_class, self.average)
