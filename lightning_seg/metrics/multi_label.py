"""Any metric of label maps, for several labels per pixel."""

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.wrappers.abstract import WrapperMetric

from lightning_seg.metrics.base import Plot, Value
from lightning_seg.metrics.functional.ratios import average_classes

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes


class MultiLabelMetric(WrapperMetric):
    """A metric of two classes, measured for each of K labels that may overlap.

    `update(preds, target)` takes K maps each, (B, K, H, W). ``target`` holds integers 0, 1 or the
    metric's ``ignore_index``. ``preds`` holds the same, or floats: as in torchmetrics they are
    probabilities if all of a batch are in [0, 1], otherwise logits. `compute()` returns what the
    metric returns for K classes, each of which is the second of two classes, the label against the
    rest: with ``average="macro"`` the mean over the labels that have a value, with ``average=None``
    one value per label on the last axis. Results are as exact as those of the metric.

    Args:
        metric: Metric with ``num_classes=2``, such as ``BoundaryIoU(2)``. It is copied.
        num_labels: K.
        threshold: Probability above which a label is predicted.

    Raises:
        ValueError: The metric is not of two classes, or gives no values by class; in `update`,
            if shapes, dtypes or labels are wrong.

    Example:
        >>> import torch
        >>> from lightning_seg.metrics import BoundaryIoU, MultiLabelMetric
        >>> target = torch.zeros(1, 2, 32, 32, dtype=torch.long)
        >>> target[:, 0, 8:24, 8:24] = target[:, 1, 12:20] = 1  # they overlap
        >>> metric = MultiLabelMetric(BoundaryIoU(2, width=2, average=None), num_labels=2)
        >>> metric.update(target.roll(1, dims=3), target)
        >>> metric.compute()
        tensor([0.6000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, metric: Metric, num_labels: int, threshold: float = 0.5) -> None:
        super().__init__()
        average: Any = getattr(metric, "average", "missing")
        if getattr(metric, "num_classes", None) != 2 or average not in ("macro", None):
            raise ValueError(
                f"metric is {metric}; expected one with num_classes=2 and average='macro' or None, "
                "such as BoundaryIoU(2)."
            )
        if num_labels < 1 or not 0 < threshold < 1:
            raise ValueError(
                f"num_labels is {num_labels} and threshold {threshold}; expected at least 1 label, "
                "and a probability between 0 and 1."
            )
        self.average = average
        self.threshold = threshold
        metric = deepcopy(metric)
        metric.reset()
        metric.average = None
        self.metrics = nn.ModuleList(deepcopy(metric) for _ in range(num_labels))

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """That of the metric."""
        return self._single(0).higher_is_better

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the labels of a batch."""
        for k, pair in enumerate(self._pairs(preds, target)):
            self._single(k).update(*pair)

    def compute(self) -> Tensor:
        """Return the scores over all updates."""
        return self._joined(lambda k: self._single(k).compute())

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        """Add the labels of a batch and return its scores."""
        pairs = self._pairs(preds, target)
        value = self._joined(lambda k: self._single(k)(*pairs[k]))
        self._forward_cache = value  # type: ignore[assignment]  # Lightning logs it for a step
        return value

    def reset(self) -> None:
        """Reset the counts of all labels."""
        for k in range(len(self.metrics)):
            self._single(k).reset()
        super().reset()

    def counts(self, name: str) -> Tensor:
        """Return a state of the metric that has an axis of classes: its counts by label, (..., K).

        Only of this process and since the last reset.
        """
        states: list[Tensor] = [getattr(metric, name)[..., 1] for metric in self.metrics]
        return torch.stack(states, dim=-1)

    def plot(self, val: Value = None, ax: "Axes | None" = None) -> Plot:
        """Plot a value (by default `compute()`) as the metric does."""
        plot: Plot = self._single(0).plot(self.compute() if val is None else val, ax)
        return plot

    def _single(self, label: int) -> Metric:
        metric = self.metrics[label]
        assert isinstance(metric, Metric)
        return metric

    def _joined(self, value: Callable[[int], Tensor]) -> Tensor:
        values = [value(k)[..., 1] for k in range(len(self.metrics))]
        return average_classes(torch.stack(values, dim=-1), self.average)

    def _pairs(self, preds: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return predicted and true labels (B, H, W), for each of K."""
        expected = (len(target), len(self.metrics), *target.shape[2:])
        if target.ndim != 4 or preds.shape != target.shape or target.shape != expected:
            raise ValueError(
                f"preds has shape {tuple(preds.shape)}, target {tuple(target.shape)}; expected "
                f"(B, {len(self.metrics)}, H, W) twice, a map of 0 and 1 for each label."
            )
        if preds.is_floating_point():
            probabilities = ((preds >= 0) & (preds <= 1)).all()  # never waits for the device
            preds = (torch.where(probabilities, preds, preds.sigmoid()) > self.threshold).long()
        return list(zip(preds.unbind(1), target.unbind(1), strict=True))
