"""E-measure as a torchmetrics metric."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.metrics.fingerprint import fingerprint
from lightning_seg.metrics.functional.e_measure import (
    Normalize,
    RegionVoid,
    check_e_measure,
    e_measure,
)
from lightning_seg.metrics.functional.ratios import Average, as_float64, average_classes
from lightning_seg.metrics.plotting import Plot, Value

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes

# A score of 1 in fixed point: steps of 2.3e-13, room for a million images.
ONE = 2**42


class EMeasure(Metric):
    """Enhanced-alignment measure of each class against the rest (Fan et al., IJCAI 2018).

    Taken for each image and class, then averaged over the images in which prediction or truth have
    the class, then over the classes, as SEMEDA (Chen et al., 2020) reports it. Scores are added up
    in int64 fixed point (steps of 2^-42), so the result is the same to the bit for any batch size,
    order and number of processes.

    `update(preds, target)` takes labels (B, H, W), or scores (B, K, H, W) of which the largest
    decides, and true labels (B, H, W). `compute()` returns float64: the mean over the classes
    that have a score (NaN if none has), or (K,) with NaN for classes without.

    Args:
        num_classes: K, at least 2.
        ignore_index: The label of void pixels. A predicted pixel with this label belongs to no
            class.
        void: "removed" or "zeroed"; see `lightning_seg.metrics.functional.e_measure`.
        normalize: "N-1", the public codes' way, or "N".
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
        zeros = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("scores", zeros, dist_reduce_fx="sum")
        self.add_state("present", zeros.clone(), dist_reduce_fx="sum")
        settings = fingerprint(num_classes, ignore_index, void, normalize)
        self.add_state("settings", settings, dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        scores = e_measure(
            preds, target, self.num_classes, self.ignore_index, self.void, self.normalize
        )
        fixed = torch.round(scores.nan_to_num(nan=0.0) * ONE).long()
        self.scores = self.scores + fixed.sum(dim=0).to(self.scores.device)
        self.present = self.present + (~scores.isnan()).sum(dim=0).to(self.present.device)

    def compute(self) -> Tensor:
        """The score of all that was counted."""
        per_class = as_float64(self.scores) / ONE / as_float64(self.present)
        return average_classes(per_class, self.average)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Draws a value, by default that of all that was counted, or several as a series."""
        return self._plot(val, ax)
