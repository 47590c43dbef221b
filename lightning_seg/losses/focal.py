"""Focal loss."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._overlap import Preset
from lightning_seg.losses._probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.base import (
    Loss,
    Reduction,
    check_number,
    loss_function,
    mean_where,
    pooled,
    ratio,
    valid_scores,
)

Activation = Literal["softmax", "sigmoid"]
PRESETS: dict[str, tuple[Activation, Reduction]] = {
    "formula": ("softmax", "image"),
    "smp": ("sigmoid", "batch"),
}


@loss_function
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

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    Options and errors as in `FocalLoss`.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    activation, reduction = focal_arguments(gamma, activation, reduction, preset)
    valid = mask != ignore_index
    if activation == "softmax":
        losses = _focused(true_class_nll(logits, mask, ignore_index), gamma)
    else:
        _, labels = masked_probabilities(logits, mask, ignore_index)
        scores = valid_scores(logits, mask, ignore_index)
        nll = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), reduction="none")
        losses = _focused(nll, gamma).mean(dim=1) * valid
    total, pixels = (pooled(x.sum(dim=(1, 2)), reduction) for x in (losses, valid))
    return mean_where(ratio(total, pixels), pixels > 0)


def _focused(nll: Tensor, gamma: float) -> Tensor:
    # The bound keeps the gradient finite at p = 1 for gamma below 1.
    doubt = -torch.expm1(-nll).clamp(max=-torch.finfo(nll.dtype).tiny)
    return doubt**gamma * nll


class FocalLoss(Loss):
    """Focal loss: cross entropy that down-weights well-classified pixels; see `focal`.

    The experiments of Gül (2023) used that of segmentation-models-pytorch, ``preset="smp"``. For a
    binary task with one sigmoid class use two classes, the softmax and ``reduction="batch"``.

    Args:
        gamma: Strength of the down-weighting; 0 is the cross entropy.
        activation: ``"softmax"``, or ``"sigmoid"`` for K binary tasks, each class against the rest,
            whose losses are averaged.
        reduction: ``"image"`` averages the means of the images; ``"batch"`` takes one mean over all
            pixels of the batch.
        preset: Values for activation and reduction where they are None. ``"formula"`` follows Gül
            (2023): softmax, image. ``"smp"`` is the multiclass focal loss of
            segmentation-models-pytorch: sigmoid, batch.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: A negative or infinite gamma, an unknown choice.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import FocalLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> FocalLoss()(logits, mask)
        tensor(0.1733)
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
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `focal`."""
        options = self.gamma, self.activation, self.reduction
        return focal(logits, mask, *options, ignore_index=self.ignore_index)


def focal_arguments(
    gamma: float, activation: Activation | None, reduction: Reduction | None, preset: Preset
) -> tuple[Activation, Reduction]:
    """Return checked arguments, with the values of the preset in place of None."""
    check_choice("preset", preset, Preset)
    check_number("gamma", gamma)
    usual = PRESETS[preset]
    activation, reduction = activation or usual[0], reduction or usual[1]
    check_choice("activation", activation, Activation)
    check_choice("reduction", reduction, Reduction)
    return activation, reduction
