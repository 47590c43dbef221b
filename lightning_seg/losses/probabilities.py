"""Probabilities and labels of the valid pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import check_shapes, promote


def masked_probabilities(
    logits: Tensor, mask: Tensor, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Softmax of the logits and the labels' one-hot maps, both 0 at void.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        ignore_index: Label of void pixels.

    Returns:
        Probabilities (B, K, H, W), float32 or float64; one-hot maps (B, K, H, W), bool.

    Raises:
        ValueError: The shapes do not fit each other; a single class.
    """
    check_shapes(logits, mask)
    void = (mask == ignore_index).unsqueeze(1)
    probabilities = promote(logits).softmax(dim=1).masked_fill(void, 0.0)
    classes = torch.arange(logits.shape[1], device=mask.device).view(1, -1, 1, 1)
    return probabilities, (mask.unsqueeze(1) == classes) & ~void


def true_class_nll(logits: Tensor, mask: Tensor, ignore_index: int = 255) -> Tensor:
    """Negative log of the labels' probabilities, (B, H, W), 0 at void.

    It is all that a loss needs which reads no other class's probability, and much cheaper than
    `masked_probabilities`; see there for arguments and errors.
    """
    check_shapes(logits, mask)
    return F.cross_entropy(promote(logits), mask, ignore_index=ignore_index, reduction="none")
