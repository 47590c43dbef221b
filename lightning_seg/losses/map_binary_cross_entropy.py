"""Binary cross entropy of a map of probabilities."""

import torch
from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, check_map_shapes, promote


@autocast_off
def map_binary_cross_entropy(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    balanced: bool = True,
    ignore_index: int = 255,
) -> Tensor:
    """Mean of ``-t log p - (1 - t) log(1 - p)`` over the valid pixels and the channels.

    Balanced, the two terms are weighted by the shares of the other's pixels in the batch, so that
    the few pixels of edges count as much as all others together (Xie and Tu 2015, equation 2;
    Takikawa et al. 2019, equation 3).

    Args:
        prediction: (B, C, H, W) probabilities.
        target: (B, C, H, W) in [0, 1], the same shape.
        mask: (B, H, W) int64, read for ``ignore_index`` alone.
        balanced: Whether both kinds of pixels count the same.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 predictions); 0 where no pixel is valid.

    Raises:
        ValueError: Shapes that do not go together.
    """
    check_map_shapes(prediction, target, mask)
    prediction = promote(prediction)
    target = target.to(prediction.dtype)
    valid = (mask != ignore_index).unsqueeze(1).expand_as(target)
    target = torch.where(valid, target, 0.0)
    # Where p is 0 or 1 its logarithm is as good as that of the nearest number.
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
    """Binary cross entropy between a map of probabilities and its target, see the function.

    Args:
        balanced: Whether the few pixels of edges count as much as all others together.
        ignore_index: Label of the pixels that count nowhere.
    """

    def __init__(self, balanced: bool = True, ignore_index: int = 255) -> None:
        super().__init__()
        self.balanced = balanced
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and the mask (B, H, W) to a scalar."""
        return map_binary_cross_entropy(prediction, target, mask, self.balanced, self.ignore_index)
