"""The Tanimoto loss between maps in [0, 1]."""

from typing import Literal

import torch
from torch import Tensor

from lightning_seg.losses.base import (
    Loss,
    autocast_off,
    check_choice,
    check_map_shapes,
    mean_where,
    promote,
    ratio,
)

Coefficient = Literal["D1", "D2", "D3"]
VolumeWeights = Literal["inverse_square"]
DualWeights = Literal["complement", "direct"]
Volumes = Literal["batch", "image"]


@autocast_off
def map_tanimoto(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    complement: bool = True,
    volume_weights: VolumeWeights | None = "inverse_square",
    normalize_weights: bool = True,
    smooth: float = 1e-5,
    dual_weights: DualWeights = "complement",
    volumes: Volumes = "batch",
    coefficient: Coefficient = "D3",
    ignore_index: int = 255,
) -> Tensor:
    """``1 - (T(p, l) + T(1 - p, 1 - l)) / 2`` of Diakogiannis et al. (2020), equations 3 to 5.

    ``T = sum_J w_J sum pl / sum_J w_J sum (p^2 + l^2 - pl)`` over the channels J and the valid
    pixels of an image, ``smooth`` added to both sides; the mean over images with a valid pixel.

    ``w_J = V_J^-2`` with the volume ``V_J = sum l``; a channel of volume 0 gets the largest weight
    of the others.

    Args:
        prediction: (B, C, H, W) floating point p, in [0, 1].
        target: (B, C, H, W) l, in [0, 1].
        mask: (B, H, W) int64, read for ``ignore_index`` alone.
        complement: Whether the overlap of what prediction and target leave out counts as well.
        volume_weights: ``"inverse_square"``, or None for equal weights.
        normalize_weights: Divides the weights by the largest. Equation 5 stays the same, but
            ``smooth`` stays small before its sums, which without it shrink with the image's size.
        smooth: 0 or more.
        dual_weights: The second term's weights come from the volumes of the ``"complement"`` (as in
            the authors' code), or are those of the first, ``"direct"``.
        volumes: The mean of the ``"batch"`` (as in the authors' code), or each ``"image"``'s own.
        coefficient: ``"D3"`` is Tanimoto. ``"D1"`` and ``"D2"`` are the two forms of Dice that the
            paper compares it with (equations 1 and 2), with the sum of the values or of their
            squares below.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 predictions); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other.
    """
    check_map_shapes(prediction, target, mask)
    valid = (mask != ignore_index).unsqueeze(1)
    prediction = torch.where(valid, promote(prediction), 0.0)
    target = torch.where(valid, target.to(prediction.dtype), 0.0)
    counts = valid.flatten(1).any(dim=1)

    def weights_of(volume: Tensor) -> Tensor:
        if volumes == "batch":
            volume = volume.sum(dim=0, keepdim=True) / counts.sum().clamp(min=1)
        return _weights(volume, volume_weights, normalize_weights)

    overlap = (prediction * target).sum(dim=(2, 3))
    excess = _excess(prediction, target, coefficient).sum(dim=(2, 3))
    weights = weights_of(target.sum(dim=(2, 3)))
    score = _score(overlap, excess, weights, smooth)
    if complement:
        outside = torch.where(valid, 1 - target, 0.0)
        overlap = ((1 - prediction) * outside).sum(dim=(2, 3))
        if dual_weights == "complement":
            weights = weights_of(outside.sum(dim=(2, 3)))
        score = (score + _score(overlap, excess, weights, smooth)) / 2
    return mean_where(1 - score, counts)


def _excess(prediction: Tensor, target: Tensor, coefficient: Coefficient) -> Tensor:
    """What a pixel adds to the lower side of the quotient beyond its overlap.

    All three coefficients are ``overlap / (overlap + excess)``, and the excess of the complements
    is the same.
    """
    if coefficient == "D1":
        return (prediction + target) / 2 - prediction * target
    squared = (prediction - target).square()
    return squared / 2 if coefficient == "D2" else squared


def _score(overlap: Tensor, excess: Tensor, weights: Tensor, smooth: float) -> Tensor:
    overlap = (weights * overlap).sum(dim=1) + smooth
    everything = overlap + (weights * excess).sum(dim=1)
    return torch.where(everything > 0, ratio(overlap, everything), 1.0)


def _weights(volume: Tensor, kind: VolumeWeights | None, normalize: bool) -> Tensor:
    """Weights (rows, C) out of volumes (rows, C)."""
    if kind is None:
        return torch.ones_like(volume)
    empty = volume <= 0
    least = volume.masked_fill(empty, torch.inf).amin(dim=1, keepdim=True)
    least = least.masked_fill(least.isinf(), 1.0)
    volume = torch.where(empty, least, volume)
    return (least / volume if normalize else 1 / volume).square()


def check_tanimoto_arguments(
    volume_weights: str | None,
    smooth: float,
    dual_weights: str,
    volumes: str,
    coefficient: str,
) -> None:
    """Refuses what the Tanimoto losses do not know, with a ValueError."""
    if volume_weights is not None:
        check_choice("volume_weights", volume_weights, VolumeWeights)
    check_choice("dual_weights", dual_weights, DualWeights)
    check_choice("volumes", volumes, Volumes)
    check_choice("coefficient", coefficient, Coefficient)
    if not smooth >= 0:
        raise ValueError(f"smooth is {smooth}, expected a number of 0 or more")


class MapTanimotoLoss(Loss):
    """`map_tanimoto` for regression heads: distances, boundaries, colours (ResUNet-a).

    Args:
        complement: Whether the overlap of what prediction and target leave out counts as well.
        volume_weights: ``"inverse_square"``, or None for equal weights of the channels.
        normalize_weights: Divides the weights by the largest; see `map_tanimoto`.
        smooth: Added to both sides of the quotient, 0 or more.
        dual_weights: The complement's weights: of its own volumes (``"complement"``), or the same
            (``"direct"``).
        volumes: The mean of the ``"batch"``, or each ``"image"``'s own.
        coefficient: ``"D3"`` is Tanimoto; ``"D1"`` and ``"D2"`` are forms of Dice.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.
    """

    def __init__(
        self,
        complement: bool = True,
        volume_weights: VolumeWeights | None = "inverse_square",
        normalize_weights: bool = True,
        smooth: float = 1e-5,
        dual_weights: DualWeights = "complement",
        volumes: Volumes = "batch",
        coefficient: Coefficient = "D3",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_tanimoto_arguments(volume_weights, smooth, dual_weights, volumes, coefficient)
        self.complement = complement
        self.volume_weights: VolumeWeights | None = volume_weights
        self.normalize_weights = normalize_weights
        self.smooth = smooth
        self.dual_weights: DualWeights = dual_weights
        self.volumes: Volumes = volumes
        self.coefficient: Coefficient = coefficient
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and the mask (B, H, W) to a scalar; see `map_tanimoto`."""
        return map_tanimoto(
            prediction,
            target,
            mask,
            self.complement,
            self.volume_weights,
            self.normalize_weights,
            self.smooth,
            self.dual_weights,
            self.volumes,
            self.coefficient,
            self.ignore_index,
        )
