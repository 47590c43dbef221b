"""A label map as one map a class."""

import torch
from torch import Tensor


def one_hot(
    mask: Tensor, num_classes: int, ignore_index: int = 255, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Label map (B, H, W) to (B, K, H, W) of 0 and 1, all 0 at void.

    Laid out channels last, in which it is made in one pass and convolved fastest. Unlike torch's
    own it asks for no label's value, and so never waits for a device.
    """
    labels = mask.masked_fill(mask == ignore_index, -1).unsqueeze(-1)
    maps = labels == torch.arange(num_classes, device=mask.device)
    return maps.to(dtype).permute(0, 3, 1, 2)
