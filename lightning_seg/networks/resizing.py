"""Bilinear resizing."""

import torch.nn.functional as F
from torch import Tensor


def resized_as(x: Tensor, other: Tensor) -> Tensor:
    """Resize ``x`` (B, C, h, w) bilinearly to the height and width of ``other``."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
