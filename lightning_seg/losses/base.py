"""What every loss of this room is."""

from torch import Tensor, nn


class Loss(nn.Module):
    """A scalar term of the training objective.

    Losses on logits are called ``(logits (B, K, H, W), mask (B, H, W))``, losses on maps
    ``(prediction (B, C, H, W), target (B, C, H, W), mask (B, H, W))``. Both promote half precision
    to float32, keep float64, leave ignored pixels out of every mean and return 0 with a zero
    gradient for a batch without a valid pixel.
    """


def promote(scores: Tensor) -> Tensor:
    """``scores`` in float32, or in float64 where they already are."""
    return scores if scores.dtype.itemsize >= 4 else scores.float()
