"""One ratio of sums over the batch, or one for each image."""

from typing import Literal

from torch import Tensor

Reduction = Literal["image", "batch"]


def pooled(sums: Tensor, reduction: Reduction) -> Tensor:
    """Sums of the images (B, ...) as they are, or added up to one of the batch (1, ...)."""
    return sums.sum(dim=0, keepdim=True) if reduction == "batch" else sums
