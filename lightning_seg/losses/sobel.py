"""Differences of Sobel gradients, the baseline that SEMEDA is compared with."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import (
    Loss,
    autocast_off,
    check_choice,
    check_shapes,
    mean_where,
    promote,
)
from lightning_seg.targets._one_hot import one_hot

Reduction = Literal["pixel", "mean"]


@autocast_off
def sobel(
    logits: Tensor, mask: Tensor, reduction: Reduction = "mean", ignore_index: int = 255
) -> Tensor:
    """L1 between the Sobel gradients of the class probabilities and of the one-hot labels.

    Chen et al. (2020), section 4.1: two filters a class, 2K maps, without an activation. Void
    pixels are 0 in both, as is what lies beyond the border.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        reduction: ``"mean"`` averages over the maps and the valid pixels, ``"pixel"`` sums over the
            maps, which makes it 2K times larger.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; an unknown reduction.
    """
    check_choice("reduction", reduction, Reduction)
    check_shapes(logits, mask)
    num_classes = logits.shape[1]
    void = mask == ignore_index
    # Channels last, in which depthwise convolutions are fastest.
    probabilities = promote(logits).permute(0, 2, 3, 1).softmax(dim=-1).permute(0, 3, 1, 2)
    truth = one_hot(mask, num_classes, ignore_index, probabilities.dtype)
    # The filters are linear: the difference of the gradients is the gradient of the difference.
    difference = (probabilities - truth).masked_fill(void.unsqueeze(1), 0.0)
    filters = _filters(difference).repeat(num_classes, 1, 1, 1)
    gradients = F.conv2d(difference, filters, padding=1, groups=num_classes)
    errors = gradients.abs()
    errors = errors.mean(dim=1) if reduction == "mean" else errors.sum(dim=1)
    return mean_where(errors, ~void)


def _filters(like: Tensor) -> Tensor:
    """The two filters (2, 1, 3, 3), made where they are needed: copies would wait for the host."""
    slope = torch.arange(-1, 2, device=like.device, dtype=like.dtype)
    across = torch.outer(2 - slope.abs(), slope)
    return torch.stack([across, across.T]).unsqueeze(1)


class SobelLoss(Loss):
    """``weight`` times `sobel`; added to the cross entropy, which it does not contain.

    Args:
        weight: The paper tried 0.5, 1, 2 and 4, and found 4 best.
        reduction: ``"mean"`` or ``"pixel"``, see `sobel`. The paper's sums leave both open, but its
            weights speak for the mean: at 4 its gradient is below that of cross entropy, and that
            of ``"pixel"`` some 10 times as large.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: A weight that is not above 0; an unknown reduction.
    """

    reduction: Reduction = "pixel"  # of losses that were stored before there was a choice

    def __init__(
        self, weight: float = 4.0, reduction: Reduction = "mean", ignore_index: int = 255
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, Reduction)
        if not 0 < weight < math.inf:
            raise ValueError(f"weight is {weight}, expected a finite number above 0")
        self.weight = weight
        self.reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `sobel`."""
        return self.weight * sobel(logits, mask, self.reduction, self.ignore_index)
