"""Mean of per-sample values, exact for any split of the samples."""

import torch
from torch import Tensor

from lightning_seg.metrics.base import SegmentationMetric
from lightning_seg.metrics.functional.ratios import as_float64

FRACTION = 2**40
LIMIT = 2.0**39


class PerSampleMean(SegmentationMetric):
    """Mean over samples, bit-exact for any batch size, order and number of processes.

    Floating-point sums depend on the order of summation. Here the integer and fractional parts
    (in steps of 2^-40, about 1e-12) are summed as int64. Intended for losses, one value per
    sample.

    `update(values)` takes a float tensor of any shape, one value per sample. `compute()` returns a
    float64 scalar: NaN if there were no samples, or if one was not finite or at least 2^39 (5e11)
    in magnitude.

    Example:
        >>> import torch
        >>> metric = PerSampleMean()
        >>> metric.update(torch.tensor([0.5, 1.0]))
        >>> metric.update(torch.tensor([3.0]))
        >>> metric.compute()
        tensor(1.5000, dtype=torch.float64)
    """

    higher_is_better = None
    plot_lower_bound = None
    plot_upper_bound = None

    whole: Tensor
    fraction: Tensor
    samples: Tensor
    unusable: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums((), "whole", "fraction", "samples", "unusable")

    def update(self, values: Tensor) -> None:
        """Add samples."""
        values = as_float64(values.detach())
        usable = values.abs() < LIMIT
        values = torch.where(usable, values, 0.0)
        whole = values.floor()
        self.whole = self.whole + whole.long().sum().to(self.whole.device)
        fixed = torch.round((values - whole) * FRACTION).long()
        self.fraction = self.fraction + fixed.sum().to(self.fraction.device)
        self.samples = self.samples + values.numel()
        self.unusable = self.unusable + (~usable).sum().to(self.unusable.device)

    def compute(self) -> Tensor:
        """Return the mean over all samples."""
        total = as_float64(self.whole) + as_float64(self.fraction) / FRACTION
        mean = total / as_float64(self.samples)
        return torch.where(as_float64(self.unusable) > 0, torch.nan, mean)
