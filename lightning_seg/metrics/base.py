"""Base of the metrics of label maps: shared states, settings and plots."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.plot import plot_single_or_multi_val

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes

Value = Tensor | Sequence[Tensor] | None
# The figure (None if axes were passed in) and its axes; torchmetrics types them no further.
Plot = tuple[Any, Any]


class SegmentationMetric(Metric):
    """Base of the metrics of label maps, whose results are bit-exact.

    `update(preds, target)` takes labels (B, H, W) or scores (B, K, H, W), which are reduced by
    argmax, and ground-truth labels (B, H, W). A predicted pixel with the label `ignore_index`
    belongs to no class. `compute()` returns float64: the mean over the classes that have a value
    (NaN if there are none), or with `average=None` one value per class, (K,), NaN for classes
    without one.

    All states are int64 (scores are summed in fixed point), so results are the same for any batch
    size, order and number of processes.

    Raises:
        ValueError: If the settings are invalid; in `update`, if shapes, dtypes or (on the CPU)
            labels are.
    """

    full_state_update = False
    higher_is_better: bool | None = True
    is_differentiable = False
    plot_lower_bound: float | None = 0.0
    plot_upper_bound: float | None = 1.0

    def add_sums(self, shape: int | tuple[int, ...], *names: str) -> None:
        """Add int64 states that are summed over processes."""
        for name in names:
            zeros = torch.zeros(shape, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def add_settings(self, *settings: object) -> None:
        """Add a state, int64 (4,), that differs between metrics with different settings.

        torchmetrics' MetricCollection merges two metrics whose states agree within 1e-5 after the
        first batch and then updates only the first. Metrics with different settings can agree by
        chance, for example on a batch without boundaries.
        """
        digest = torch.tensor(list(zlib.crc32(repr(settings).encode()).to_bytes(4)))
        self.add_state("settings", digest, dist_reduce_fx="max")

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of the value; empty if it has none."""
        return ()

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`), or a sequence of values as a curve."""
        value = self.compute() if val is None else val
        if not self.rows or not isinstance(value, Tensor):
            return self._plot(value, ax)
        named = dict(zip(self.rows, value, strict=True))
        figure, axes = plot_single_or_multi_val(named, ax=ax, name=type(self).__name__)
        if value.ndim > 1:
            axes.set_xlabel("class")  # type: ignore[union-attr]
        return figure, axes
