"""Class scores decided."""

import torch
from torch import Tensor


def label_dtype(num_classes: int) -> torch.dtype:
    """Of label maps: uint8, from 257 classes on int32."""
    return torch.uint8 if num_classes <= 256 else torch.int32


def label_map(scores: Tensor) -> Tensor:
    """Scores (B, K, H, W) to the class of the largest, (B, H, W) of `label_dtype`."""
    return scores.argmax(dim=1).to(label_dtype(scores.shape[1]))
