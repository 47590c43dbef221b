"""Binary cross entropy of a probability map."""

import torch
from torch import Tensor

from lightning_seg.losses.base import Loss, check_map_shapes, loss_function, promote


@loss_function
def map_binary_cross_entropy(
    prediction: Tensor, target: Tensor, mask: Tensor, balanced: bool = True, ignore_index: int = 255
) -> Tensor:
    """Mean of ``-t log p - (1 - t) log(1 - p)`` over the valid pixels and the channels.

    If balanced, each term is weighted by the share of the opposite kind of pixels in the batch, so
    that the few edge pixels weigh as much as all other pixels together (Xie and Tu 2015, equation
    2; Takikawa et al. 2019, equation 3).

    Args:
        prediction: (B, C, H, W) probabilities.
        target: (B, C, H, W) in [0, 1].
        mask: (B, H, W) int64; only ``ignore_index`` is read.
        balanced: Give both kinds of pixels the same total weight.
        ignore_index: Label of ignored pixels.

    Returns:
        Scalar >= 0, float32 (float64 for float64 predictions); 0 if no pixel is valid.
    """
    check_map_shapes(prediction, target, mask)
    prediction = promote(prediction)
    target = target.to(prediction.dtype)
    valid = (mask != ignore_index).unsqueeze(1).expand_as(target)
    target = torch.where(valid, target, 0.0)
    # Keeps the logarithms finite at p = 0 and p = 1.
    tiny = torch.finfo(prediction.dtype).eps
    inside = torch.where(valid, prediction, 0.5).clamp(tiny, 1 - tiny)
    count = valid.sum().clamp(min=1)
    positive = target.sum() / count
    weight = torch.where(valid, 1.0, 0.0).to(prediction.dtype)
    if balanced:
        weight = weight * (target * (1 - positive) + (1 - target) * positive)
    terms = target * inside.log() + (1 - target) * torch.log1p(-inside)
    return -(weight * terms).sum() / count


class MapBinaryCrossEntropyLoss(Loss):
    """Binary cross entropy between a probability map and its target.

    See `map_binary_cross_entropy`.

    Args:
        balanced: Give the few edge pixels the same total weight as all other pixels.
        ignore_index: Label of ignored pixels.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import MapBinaryCrossEntropyLoss
        >>> prediction = torch.full((1, 1, 2, 3), 0.5)
        >>> target = torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> MapBinaryCrossEntropyLoss()(prediction, target, mask)
        tensor(0.3327)
    """

    def __init__(self, balanced: bool = True, ignore_index: int = 255) -> None:
        super().__init__()
        self.balanced = balanced
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of two maps (B, C, H, W) and the mask (B, H, W)."""
        return map_binary_cross_entropy(prediction, target, mask, self.balanced, self.ignore_index)
