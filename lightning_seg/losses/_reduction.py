"""Reduction over the images of a batch."""

from typing import Literal

from torch import Tensor

Reduction = Literal["image", "batch"]


def pooled(sums: Tensor, reduction: Reduction) -> Tensor:
    """Return sums per image (B, ...) unchanged, or added up over the batch, (1, ...)."""
    return sums.sum(dim=0, keepdim=True) if reduction == "batch" else sums
