"""Cross entropy of the softmax."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import Loss, promote


def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean cross entropy over the valid pixels, ``sum(w * nll) / sum(w)`` with class weights.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        class_weights: (K,) non-negative, or None for equal weights.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel has any weight.
    """
    logits = promote(logits)
    weights = None if class_weights is None else class_weights.to(logits)
    total = F.cross_entropy(
        logits, mask, weight=weights, ignore_index=ignore_index, reduction="sum"
    )
    valid = mask != ignore_index
    if weights is None:
        mass = valid.sum().to(logits.dtype)
    else:
        mass = (weights[mask.masked_fill(~valid, 0)] * valid).sum()
    return total / torch.where(mass > 0, mass, torch.ones_like(mass))


class CrossEntropyLoss(Loss):
    """Cross entropy of the softmax, the baseline of all five papers.

    Args:
        class_weights: K weights (median frequency, say), or None.
        ignore_index: Label of the pixels that count nowhere.
    """

    class_weights: Tensor | None

    def __init__(
        self, class_weights: Sequence[float] | None = None, ignore_index: int = 255
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        weights = None if class_weights is None else torch.tensor(list(class_weights))
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `cross_entropy`."""
        return cross_entropy(logits, mask, self.class_weights, self.ignore_index)
