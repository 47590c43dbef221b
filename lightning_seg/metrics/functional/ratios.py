"""Conversion of counts to reported scores."""

from typing import Literal

from torch import Tensor

Average = Literal["macro"] | None


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide two counts in float64, giving NaN where the denominator is 0."""
    return as_float64(numerator) / as_float64(denominator)


def as_float64(values: Tensor) -> Tensor:
    """Convert to float64, on the CPU for devices without float64 (Apple GPUs)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def average_classes(values: Tensor, average: Average) -> Tensor:
    """Average values (..., K) over the classes that are not NaN for "macro"; else return them."""
    return values.nanmean(dim=-1) if average == "macro" else values
