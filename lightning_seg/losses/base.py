"""Base class of the losses, and checks that they share."""

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec

import torch
from torch import Tensor, nn

P = ParamSpec("P")
Reduction = Literal["image", "batch"]


class Loss(nn.Module):
    """A scalar term of the training objective.

    Losses on logits are called ``(logits (B, K, H, W), mask (B, H, W))``, losses on maps
    ``(prediction (B, C, H, W), target (B, C, H, W), mask (B, H, W))``. Masks are integers of any
    type, and may have a channel, (B, 1, H, W). Half precision is promoted to float32 and float64 is
    kept. Ignored pixels change neither value nor gradient, even if predictions are not finite
    there; NaN at a valid pixel gives NaN. A batch without a valid pixel gives 0 and a zero
    gradient.

    Labels must be 0..K-1 or the ignore index. They are not checked, because that would wait for the
    device in every step: with others a loss raises IndexError or has an arbitrary value.
    `lightning_seg.tasks.SegmentationTask` checks the labels of the first epoch.
    """

    def check_channels(self, channels: int) -> None:
        """Raise InputError if an option does not fit a number of classes or channels of a map."""
        del channels

    def statistics(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return scalars of a call's inputs to log in training, by name; none by default."""
        del inputs
        return {}


def promote(scores: Tensor) -> Tensor:
    """Return ``scores`` in float32, or unchanged if they are float32 or float64."""
    return scores if scores.dtype.itemsize >= 4 else scores.float()


def valid_scores(scores: Tensor, mask: Tensor, ignore_index: int) -> Tensor:
    """Return promoted ``scores`` (B, C, H, W) with 0 at ignored pixels, and no gradient there."""
    return promote(scores).masked_fill((mask == ignore_index).unsqueeze(1), 0.0)


def loss_function(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorate a function with a parameter ``mask``: autocast is off, masks are as `as_labels`."""
    position = list(inspect.signature(loss).parameters).index("mask")

    @wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        given: list[Any] = list(args)
        named: dict[str, Any] = dict(kwargs)
        if "mask" in named:
            named["mask"] = as_labels(named["mask"])
        elif len(given) > position:
            given[position] = as_labels(given[position])
        first = next(iter((*given, *named.values())))
        if not torch.amp.is_autocast_available(first.device.type):
            return loss(*given, **named)
        with torch.autocast(first.device.type, enabled=False):
            return loss(*given, **named)

    return run


def as_labels(mask: Tensor) -> Tensor:
    """Return a mask of whole numbers, (B, H, W) or (B, 1, H, W), as (B, H, W) int64.

    Floating-point masks are returned as they are, because they may hold fractions.
    """
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    return mask if mask.is_floating_point() else mask.long()


def check_shapes(logits: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless logits are (B, K, H, W), K > 1, and the mask (B, H, W) int64."""
    if logits.ndim != 4 or mask.shape != (logits.shape[0], *logits.shape[2:]):
        several = logits.ndim == 4 and mask.shape == logits.shape
        raise ValueError(
            f"logits have the shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}, "
            "expected (B, K, H, W) and (B, H, W): "
            + (
                "for a one-hot mask give mask.argmax(1), for several labels per pixel use "
                "MultiLabelLoss"
                if several
                else "upsample the logits to the size of the labels"
            )
        )
    if logits.shape[1] < 2:
        raise ValueError(
            "logits have 1 class, expected at least 2: a binary task is background and foreground, "
            "with a channel for each; for one channel with a sigmoid use MultiLabelLoss"
        )
    check_mask_dtype(mask)


def check_mask_dtype(mask: Tensor) -> None:
    """Raise ValueError unless the mask is int64, see `as_labels`."""
    if mask.dtype != torch.int64:
        raise ValueError(
            f"the mask is {mask.dtype}, expected integers, as fractions are no labels: convert it "
            "with mask.long()"
        )


def check_map_shapes(prediction: Tensor, target: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless shapes are (B, C, H, W) twice and (B, H, W), the mask int64."""
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


def pooled(sums: Tensor, reduction: Reduction) -> Tensor:
    """Return sums per image (B, ...) unchanged, or added up over the batch, (1, ...)."""
    return sums.sum(dim=0, keepdim=True) if reduction == "batch" else sums


def mean_where(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of ``values`` where ``counts`` (bool, same shape) is true; 0 if it is true nowhere."""
    return torch.where(counts, values, 0.0).sum() / counts.sum().clamp(min=1)


def check_number(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is finite and at least 0."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}, expected a finite number of 0 or more")


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, or the numerator where the denominator is 0; never NaN."""
    return numerator / torch.where(denominator > 0, denominator, 1.0)
