"""Tanimoto coefficient of maps in [0, 1], with weights and complement."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses.base import Loss, check_number, mean_where, ratio

Coefficient = Literal["D1", "D2", "D3"]
VolumeWeights = Literal["inverse_square", "inverse"]
DualWeights = Literal["complement", "direct"]
Volumes = Literal["batch", "image"]
EmptyWeight = Literal["largest", "zero"]


@dataclass(frozen=True)
class TanimotoFormula:
    """``1 - (T(p, l) + T(1 - p, 1 - l)) / 2`` of Diakogiannis et al. (2020), equations 3 to 5.

    ``T = sum_J w_J sum pl / sum_J w_J sum (p^2 + l^2 - pl)`` over the channels J and the valid
    pixels of an image, with ``smooth`` added to numerator and denominator. The loss is the mean
    over images with a valid pixel.

    ``w_J = V_J^-1`` with the volume ``V_J = sum l`` gives every channel an equal share of the sums.
    The paper's ``V_J^-2`` gives the rarest channel the largest share; if volumes are very unequal
    the other channels learn late or not at all.

    Args:
        complement: Average with the overlap of the complements of prediction and target.
        volume_weights: ``"inverse"``, the paper's ``"inverse_square"``, or None for equal weights.
        normalize_weights: Divide the weights by the largest. This leaves equation 5 unchanged but
            keeps ``smooth`` negligible; otherwise the sums shrink as the image grows.
        smooth: 0 or more.
        dual_weights: Weights of the second term, from the volumes of the ``"complement"`` (as in
            the authors' code), or those of the first term, ``"direct"``.
        volumes: Mean volumes of the ``"batch"`` (as in the authors' code), or those of each
            ``"image"``.
        coefficient: ``"D3"`` is Tanimoto. ``"D1"`` and ``"D2"`` are the two forms of Dice that the
            paper compares it with (equations 1 and 2), with the sum of the values or of their
            squares in the denominator.
        empty_weight: Weight of a channel of volume 0, such as a class that a batch lacks: the
            ``"largest"`` of the other channels (as in the authors' code), or ``"zero"``, which
            leaves its false positives to the second term and to the other channels. Without
            volume weights all channels have the weight 1.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import TanimotoFormula
        >>> prediction = torch.full((1, 2, 2, 3), 0.5)
        >>> target = torch.tensor([[[[1.0, 1.0, 0.0]] * 2, [[0.0, 0.0, 1.0]] * 2]])
        >>> TanimotoFormula()(prediction, target, torch.ones(1, 2, 3, dtype=torch.bool))
        tensor(0.5294)
    """

    complement: bool = True
    volume_weights: VolumeWeights | None = "inverse"
    normalize_weights: bool = True
    smooth: float = 1e-5
    dual_weights: DualWeights = "complement"
    volumes: Volumes = "batch"
    coefficient: Coefficient = "D3"
    empty_weight: EmptyWeight = "largest"

    def __post_init__(self) -> None:
        if self.volume_weights is not None:
            check_choice("volume_weights", self.volume_weights, VolumeWeights)
        check_choice("dual_weights", self.dual_weights, DualWeights)
        check_choice("volumes", self.volumes, Volumes)
        check_choice("coefficient", self.coefficient, Coefficient)
        check_choice("empty_weight", self.empty_weight, EmptyWeight)
        check_number("smooth", self.smooth)

    def __call__(
        self, prediction: Tensor, target: Tensor, valid: Tensor, class_weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of two maps.

        Args:
            prediction: (B, C, H, W), 0 at void.
            target: (B, C, H, W), 0 at void.
            valid: (B, H, W) bool.
            class_weights: (C,) non-negative and one above 0, instead of weights from volumes. They
                are divided by the largest, and taken as inverse to the channels' shares s_J of all
                pixels, so that the weights of the complements are ``(1 - s_J)^-1``.
        """
        counts = valid.flatten(1).any(dim=1)
        overlap = (prediction * target).sum(dim=(2, 3))
        excess = self._excess(prediction, target).sum(dim=(2, 3))
        if class_weights is None:
            weights = self._weights(target.sum(dim=(2, 3)), counts)
        else:
            weights = class_weights.to(overlap).unsqueeze(0)
            weights = weights / weights.amax()
        score = self._score(overlap, excess, weights)
        if self.complement:
            outside = valid.unsqueeze(1).to(target.dtype) - target
            overlap = ((1 - prediction) * outside).sum(dim=(2, 3))
            if self.dual_weights == "complement":
                if class_weights is None:
                    weights = self._weights(outside.sum(dim=(2, 3)), counts)
                else:
                    weights = _complement_weights(weights)
            score = (score + self._score(overlap, excess, weights)) / 2
        return mean_where(1 - score, counts)

    def weight_ratio(self, volume: Tensor, valid: Tensor) -> Tensor:
        """Return the largest weight over the smallest, for the image where that is greatest.

        Args:
            volume: (B, C), sums of the target over the valid pixels.
            valid: (B, H, W) bool.
        """
        weights = self._weights(volume, valid.flatten(1).any(dim=1))
        least = torch.where(weights > 0, weights, torch.inf).amin(dim=1)
        return (weights.amax(dim=1) / least).clamp(min=1).amax()

    def _excess(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the contribution of each pixel to the denominator beyond the overlap.

        All three coefficients are ``overlap / (overlap + excess)``; the complements have the same
        excess.
        """
        if self.coefficient == "D1":
            return (prediction + target) / 2 - prediction * target
        squared = (prediction - target).square()
        return squared / 2 if self.coefficient == "D2" else squared

    def _weights(self, volume: Tensor, counts: Tensor) -> Tensor:
        """Turn volumes (B, C) into weights (B, C), or (1, C) for the batch."""
        if self.volume_weights is None:
            return torch.ones_like(volume)
        if self.volumes == "batch":
            volume = volume.sum(dim=0, keepdim=True) / counts.sum().clamp(min=1)
        empty = volume <= 0
        least = volume.masked_fill(empty, torch.inf).amin(dim=1, keepdim=True)
        least = least.masked_fill(least.isinf(), 1.0)
        volume = torch.where(empty, least, volume)
        weights = least / volume if self.normalize_weights else 1 / volume
        if self.empty_weight == "zero":
            weights = weights.masked_fill(empty, 0.0)
        return weights.square() if self.volume_weights == "inverse_square" else weights

    def _score(self, overlap: Tensor, excess: Tensor, weights: Tensor) -> Tensor:
        overlap = (weights * overlap).sum(dim=1) + self.smooth
        everything = overlap + (weights * excess).sum(dim=1)
        return torch.where(everything == 0, 1.0, ratio(overlap, everything))


def _complement_weights(weights: Tensor) -> Tensor:
    """Return the weights (1, C) of the complements of channels with these weights.

    Weights are inverse to shares of all pixels; a channel of weight 0 has no share.
    """
    shares = torch.where(weights > 0, 1 / weights, 0.0)
    rest = 1 - shares / shares.sum(dim=1, keepdim=True)
    least = torch.finfo(rest.dtype).eps  # of a single channel with a weight
    rest = rest.clamp(min=least)
    return rest.amin(dim=1, keepdim=True) / rest


class FormulaLoss(Loss):
    """Base of the Tanimoto losses.

    Args:
        complement, volume_weights, normalize_weights, smooth, dual_weights, volumes, coefficient,
            empty_weight: As in `TanimotoFormula`.
        ignore_index: Label of ignored pixels.
    """

    def __init__(
        self,
        complement: bool = True,
        volume_weights: VolumeWeights | None = "inverse",
        normalize_weights: bool = True,
        smooth: float = 1e-5,
        dual_weights: DualWeights = "complement",
        volumes: Volumes = "batch",
        coefficient: Coefficient = "D3",
        empty_weight: EmptyWeight = "largest",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.formula = TanimotoFormula(
            complement,
            volume_weights,
            normalize_weights,
            smooth,
            dual_weights,
            volumes,
            coefficient,
            empty_weight,
        )
        self.ignore_index = ignore_index
