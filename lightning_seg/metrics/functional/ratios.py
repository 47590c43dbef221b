"""From counts to the numbers one reports."""

from typing import Literal

from torch import Tensor

Average = Literal["macro"] | None


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient of two counts in float64, NaN where the denominator is 0."""
    return as_float64(numerator) / as_float64(denominator)


def as_float64(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where their device (Apple's GPUs) has no such numbers."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def average_classes(values: Tensor, average: Average) -> Tensor:
    """Mean over the classes (the last axis) that have a value, or the values as they are.

    Args:
        values: (..., K) float, NaN for classes without a value.
        average: "macro" for the mean of the classes that are not NaN (NaN where all are), None
            for all values.

    Returns:
        (...) or (..., K).
    """
    return values.nanmean(dim=-1) if average == "macro" else values
