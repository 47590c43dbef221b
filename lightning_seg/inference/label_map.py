"""Label maps from class scores."""

import torch
from torch import Tensor


def label_dtype(num_classes: int) -> torch.dtype:
    """Return the dtype of label maps: uint8, or int32 for more than 256 classes."""
    return torch.uint8 if num_classes <= 256 else torch.int32


def label_map(scores: Tensor, multi_label: bool = False) -> Tensor:
    """Return the argmax of scores (B, K, H, W) as labels (B, H, W) of `label_dtype`.

    With ``multi_label`` return which scores are positive, (B, K, H, W) uint8 of 0 and 1.
    """
    if multi_label:
        return (scores > 0).to(torch.uint8)
    return scores.argmax(dim=1).to(label_dtype(scores.shape[1]))
