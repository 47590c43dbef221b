"""The focal loss."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import (
    Loss,
    autocast_off,
    check_choice,
    check_number,
    mean_where,
    promote,
    ratio,
)
from lightning_seg.losses.probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.reduction import Reduction, pooled

Activation = Literal["softmax", "sigmoid"]


@autocast_off
def focal(
    logits: Tensor,
    mask: Tensor,
    gamma: float = 2.0,
    activation: Activation = "softmax",
    reduction: Reduction = "image",
    ignore_index: int = 255,
) -> Tensor:
    """Mean of ``-(1 - p)^gamma log p`` over the valid pixels, p the true class's probability.

    Lin et al. (2017), equation 4, in the softmax form of Gül (2023), without alpha.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        gamma: 0 (the cross entropy) or more.
        activation: ``"sigmoid"`` takes the K classes for K binary tasks, one against the rest, and
            averages over them, too.
        reduction: ``"image"``, the mean of the images' means, or ``"batch"``, one mean over the
            batch's pixels.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; arguments that `FocalLoss`
            refuses.
    """
    check_focal_arguments(gamma, activation, reduction)
    valid = mask != ignore_index
    if activation == "softmax":
        losses = _focused(true_class_nll(logits, mask, ignore_index), gamma)
    else:
        _, labels = masked_probabilities(logits, mask, ignore_index)
        scores = promote(logits)
        nll = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), reduction="none")
        losses = _focused(nll, gamma).mean(dim=1) * valid
    total, pixels = (pooled(x.sum(dim=(1, 2)), reduction) for x in (losses, valid))
    return mean_where(ratio(total, pixels), pixels > 0)


def _focused(nll: Tensor, gamma: float) -> Tensor:
    # The bound keeps the slope of a power below 1 finite where p is 1.
    doubt = -torch.expm1(-nll).clamp(max=-torch.finfo(nll.dtype).tiny)
    return doubt**gamma * nll


class FocalLoss(Loss):
    """The focal loss: cross entropy that looks away from what is already right; see `focal`.

    What segmentation-models-pytorch calls multiclass FocalLoss, and the experiments of Gül (2023)
    ran, is ``activation="sigmoid", reduction="batch"``.

    Args:
        gamma: How much it looks away; 0 is the cross entropy.
        activation: ``"softmax"``, or ``"sigmoid"`` for each class against the rest.
        reduction: ``"image"``, the mean of the images' means, or ``"batch"``, one mean over the
            batch's pixels.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: A negative or infinite gamma, an unknown activation or reduction.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        activation: Activation = "softmax",
        reduction: Reduction = "image",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_focal_arguments(gamma, activation, reduction)
        self.gamma = gamma
        self.activation: Activation = activation
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `focal`."""
        return focal(logits, mask, self.gamma, self.activation, self.reduction, self.ignore_index)


def check_focal_arguments(
    gamma: float, activation: str = "softmax", reduction: str = "image"
) -> None:
    """Refuses what the focal loss does not know.

    Raises:
        ValueError: A negative or infinite gamma, an unknown activation or reduction.
    """
    check_number("gamma", gamma)
    check_choice("activation", activation, Activation)
    check_choice("reduction", reduction, Reduction)
