"""The Tanimoto coefficient of maps in [0, 1], its weights and its complement."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.losses.base import check_choice, check_number, mean_where, ratio

Coefficient = Literal["D1", "D2", "D3"]
VolumeWeights = Literal["inverse_square", "inverse"]
DualWeights = Literal["complement", "direct"]
Volumes = Literal["batch", "image"]


@dataclass(frozen=True)
class TanimotoFormula:
    """``1 - (T(p, l) + T(1 - p, 1 - l)) / 2`` of Diakogiannis et al. (2020), equations 3 to 5.

    ``T = sum_J w_J sum pl / sum_J w_J sum (p^2 + l^2 - pl)`` over the channels J and the valid
    pixels of an image, ``smooth`` added to both sides; the mean over images with a valid pixel.

    ``w_J = V_J^-1`` with the volume ``V_J = sum l``, with which every channel has an equal part in
    the sums. The paper's ``V_J^-2`` gives the rarest channel the largest part, and where volumes
    are very unequal the others learn late or not at all. A channel of volume 0 gets the largest
    weight of the others.

    Args:
        complement: Whether the overlap of what prediction and target leave out counts as well.
        volume_weights: ``"inverse"``, the paper's ``"inverse_square"``, or None for equal weights.
        normalize_weights: Divides the weights by the largest. Equation 5 stays the same, but
            ``smooth`` stays small before its sums, which without it shrink with the image's size.
        smooth: 0 or more.
        dual_weights: The second term's weights come from the volumes of the ``"complement"`` (as in
            the authors' code), or are those of the first, ``"direct"``.
        volumes: The mean of the ``"batch"`` (as in the authors' code), or each ``"image"``'s own.
        coefficient: ``"D3"`` is Tanimoto. ``"D1"`` and ``"D2"`` are the two forms of Dice that the
            paper compares it with (equations 1 and 2), with the sum of the values or of their
            squares below.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.
    """

    complement: bool = True
    volume_weights: VolumeWeights | None = "inverse"
    normalize_weights: bool = True
    smooth: float = 1e-5
    dual_weights: DualWeights = "complement"
    volumes: Volumes = "batch"
    coefficient: Coefficient = "D3"

    def __post_init__(self) -> None:
        if self.volume_weights is not None:
            check_choice("volume_weights", self.volume_weights, VolumeWeights)
        check_choice("dual_weights", self.dual_weights, DualWeights)
        check_choice("volumes", self.volumes, Volumes)
        check_choice("coefficient", self.coefficient, Coefficient)
        check_number("smooth", self.smooth)

    def __call__(self, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Maps (B, C, H, W) of one type, 0 at void, and the valid pixels (B, H, W) to a scalar."""
        counts = valid.flatten(1).any(dim=1)
        overlap = (prediction * target).sum(dim=(2, 3))
        excess = self._excess(prediction, target).sum(dim=(2, 3))
        weights = self._weights(target.sum(dim=(2, 3)), counts)
        score = self._score(overlap, excess, weights)
        if self.complement:
            outside = valid.unsqueeze(1).to(target.dtype) - target
            overlap = ((1 - prediction) * outside).sum(dim=(2, 3))
            if self.dual_weights == "complement":
                weights = self._weights(outside.sum(dim=(2, 3)), counts)
            score = (score + self._score(overlap, excess, weights)) / 2
        return mean_where(1 - score, counts)

    def weight_ratio(self, volume: Tensor, valid: Tensor) -> Tensor:
        """How many times the smallest weight of a channel the largest is, where that is greatest.

        Args:
            volume: (B, C), the sums of the target over the valid pixels.
            valid: (B, H, W) bool.
        """
        weights = self._weights(volume, valid.flatten(1).any(dim=1))
        return (weights.amax(dim=1) / weights.amin(dim=1)).amax()

    def _excess(self, prediction: Tensor, target: Tensor) -> Tensor:
        """What a pixel adds to the lower side of the quotient beyond its overlap.

        All three coefficients are ``overlap / (overlap + excess)``, and the excess of the
        complements is the same.
        """
        if self.coefficient == "D1":
            return (prediction + target) / 2 - prediction * target
        squared = (prediction - target).square()
        return squared / 2 if self.coefficient == "D2" else squared

    def _weights(self, volume: Tensor, counts: Tensor) -> Tensor:
        """Volumes (B, C) to weights (B, C), or (1, C) for the batch."""
        if self.volume_weights is None:
            return torch.ones_like(volume)
        if self.volumes == "batch":
            volume = volume.sum(dim=0, keepdim=True) / counts.sum().clamp(min=1)
        empty = volume <= 0
        least = volume.masked_fill(empty, torch.inf).amin(dim=1, keepdim=True)
        least = least.masked_fill(least.isinf(), 1.0)
        volume = torch.where(empty, least, volume)
        weights = least / volume if self.normalize_weights else 1 / volume
        return weights.square() if self.volume_weights == "inverse_square" else weights

    def _score(self, overlap: Tensor, excess: Tensor, weights: Tensor) -> Tensor:
        overlap = (weights * overlap).sum(dim=1) + self.smooth
        everything = overlap + (weights * excess).sum(dim=1)
        return torch.where(everything > 0, ratio(overlap, everything), 1.0)
