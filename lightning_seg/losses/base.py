"""What every loss of this room is, and what all of them need."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, get_args

import torch
from torch import Tensor, nn

P = ParamSpec("P")


class Loss(nn.Module):
    """A scalar term of the training objective.

    Losses on logits are called ``(logits (B, K, H, W), mask (B, H, W))``, losses on maps
    ``(prediction (B, C, H, W), target (B, C, H, W), mask (B, H, W))``. Both promote half precision
    to float32, keep float64, leave ignored pixels out of every mean and return 0 with a zero
    gradient for a batch without a valid pixel. Masks are int64.
    """

    def check_channels(self, channels: int) -> None:
        """Refuses, before there is any data, to be called with this many channels.

        Raises:
            InputError: Arguments of the loss do not go with so many classes (channels of a map).
        """
        del channels

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Scalars worth watching in training, by name, from what the loss is called with.

        None by default.
        """
        del inputs
        return {}


def promote(scores: Tensor) -> Tensor:
    """``scores`` in float32, or in float64 where they already are."""
    return scores if scores.dtype.itemsize >= 4 else scores.float()


def autocast_off(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorates a loss function of tensors, which runs in the types that it chooses itself."""

    @wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        first: Any = next(iter((*args, *kwargs.values())))
        if not torch.amp.is_autocast_available(first.device.type):
            return loss(*args, **kwargs)
        with torch.autocast(first.device.type, enabled=False):
            return loss(*args, **kwargs)

    return run


def check_shapes(logits: Tensor, mask: Tensor) -> None:
    """Refuses what would broadcast to a wrong value.

    Raises:
        ValueError: Other shapes than (B, K, H, W) and (B, H, W), a single class, or a mask that is
            not int64.
    """
    check_mask_dtype(mask)
    if logits.ndim != 4 or mask.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"logits have the shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}, "
            "expected (B, K, H, W) and (B, H, W): upsample the logits to the size of the labels"
        )
    if logits.shape[1] < 2:
        raise ValueError(
            "logits have 1 class, expected at least 2: a binary task is background and foreground, "
            "with a channel for each"
        )


def check_mask_dtype(mask: Tensor) -> None:
    """Refuses what is no int64: bytes hold no label below 0, and each loss would differ in others.

    Raises:
        ValueError: It is not.
    """
    if mask.dtype != torch.int64:
        raise ValueError(
            f"the mask is {mask.dtype}, expected torch.int64 labels: convert it with mask.long()"
        )


def check_map_shapes(prediction: Tensor, target: Tensor, mask: Tensor) -> None:
    """Refuses what would broadcast to a wrong value.

    Raises:
        ValueError: Other shapes than (B, C, H, W) twice and (B, H, W), or a mask that is not int64.
    """
    check_mask_dtype(mask)
    if (
        prediction.ndim != 4
        or target.shape != prediction.shape
        or mask.shape != (prediction.shape[0], *prediction.shape[2:])
    ):
        raise ValueError(
            f"the prediction has the shape {tuple(prediction.shape)}, the target "
            f"{tuple(target.shape)} and the mask {tuple(mask.shape)}, expected (B, C, H, W) twice "
            "and (B, H, W)"
        )


def mean_where(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of the finite ``values`` where ``counts`` (bool, the same shape) is true, or 0."""
    return torch.where(counts, values, 0.0).sum() / counts.sum().clamp(min=1)


def check_choice(name: str, value: object, choices: object) -> None:
    """Refuses a ``value`` that is none of the ``choices``, a Literal.

    Raises:
        ValueError: It names the argument, the value and the choices.
    """
    if value not in get_args(choices):
        known = ", ".join(repr(choice) for choice in get_args(choices))
        raise ValueError(f"{name} is {value!r}, expected one of: {known}")


def check_number(name: str, value: float) -> None:
    """Refuses a ``value`` that is negative, infinite or no number.

    Raises:
        ValueError: It names the argument and the value.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}, expected a finite number of 0 or more")


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Their quotient, and the numerator alone where the denominator is 0, without a NaN."""
    return numerator / torch.where(denominator > 0, denominator, 1.0)
