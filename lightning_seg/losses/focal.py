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
from lightning_seg.losses.overlap import Preset
from lightning_seg.losses.probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.reduction import Reduction, pooled

Activation = Literal["softmax", "sigmoid"]
PRESETS: dict[str, tuple[Activation, Reduction]] = {
    "formula": ("softmax", "image"),
    "smp": ("sigmoid", "batch"),
}


@autocast_off
def focal(
    logits: Tensor,
    mask: Tensor,
    gamma: float = 2.0,
    activation: Activation | None = None,
    reduction: Reduction | None = None,
    preset: Preset = "formula",
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
        preset: What stands for activation and reduction where they are None: ``"formula"``, that of
            Gül (2023), is softmax and image, ``"smp"``, the multiclass focal loss of
            segmentation-models-pytorch, is sigmoid and batch.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; arguments that `FocalLoss`
            refuses.
    """
    activation, reduction = focal_arguments(gamma, activation, reduction, preset)
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

    The experiments of Gül (2023) ran that of segmentation-models-pytorch, ``preset="smp"``. In a
    binary task of one sigmoid class that is the softmax form of two, ``reduction="batch"``.

    Args:
        gamma: How much it looks away; 0 is the cross entropy.
        activation: ``"softmax"``, or ``"sigmoid"`` for each class against the rest.
        reduction: ``"image"``, the mean of the images' means, or ``"batch"``, one mean over the
            batch's pixels.
        preset: What stands for activation and reduction where they are None: softmax and image for
            ``"formula"``, sigmoid and batch for ``"smp"``.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: A negative or infinite gamma, an unknown choice.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        activation: Activation | None = None,
        reduction: Reduction | None = None,
        preset: Preset = "formula",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.activation, self.reduction = focal_arguments(gamma, activation, reduction, preset)
        self.gamma = gamma
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `focal`."""
        return focal(
            logits,
            mask,
            self.gamma,
            self.activation,
            self.reduction,
            ignore_index=self.ignore_index,
        )


def focal_arguments(
    gamma: float, activation: Activation | None, reduction: Reduction | None, preset: Preset
) -> tuple[Activation, Reduction]:
    """What is given, and where that is None what the preset says.

    Raises:
        ValueError: A negative or infinite gamma, an unknown choice.
    """
    check_choice("preset", preset, Preset)
    check_number("gamma", gamma)
    usual = PRESETS[preset]
    activation, reduction = activation or usual[0], reduction or usual[1]
    check_choice("activation", activation, Activation)
    check_choice("reduction", reduction, Reduction)
    return activation, reduction
