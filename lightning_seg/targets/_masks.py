"""Checks and one-hot encoding of label maps, which never wait for the device."""

import torch
from torch import Tensor


def check_mask(mask: Tensor, num_classes: int) -> None:
    """Raise unless the mask is (B, H, W) integers and there is at least one class."""
    if mask.ndim != 3 or mask.is_floating_point() or mask.is_complex():
        raise ValueError(
            f"mask must be (B, H, W) integers, but is {tuple(mask.shape)} of {mask.dtype}"
        )
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, but must be at least 1")


def one_hot(
    mask: Tensor, num_classes: int, ignore_index: int = 255, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Encode a label map (B, H, W) as (B, K, H, W) of 0 and 1, all 0 at void.

    The result is channels last, which takes one pass to create and is fastest to convolve.
    """
    labels = mask.masked_fill(mask == ignore_index, -1).unsqueeze(-1)
    maps = labels == torch.arange(num_classes, device=mask.device)
    return maps.to(dtype).permute(0, 3, 1, 2)
