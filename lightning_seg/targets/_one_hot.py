"""One-hot encoding of label maps."""

import torch
from torch import Tensor


def one_hot(
    mask: Tensor, num_classes: int, ignore_index: int = 255, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Encode a label map (B, H, W) as (B, K, H, W) of 0 and 1, all 0 at void.

    The result is channels last, which takes one pass to create and is fastest to convolve. Unlike
    torch's own it does not read label values on the host, so it never syncs with the device.
    """
    labels = mask.masked_fill(mask == ignore_index, -1).unsqueeze(-1)
    maps = labels == torch.arange(num_classes, device=mask.device)
    return maps.to(dtype).permute(0, 3, 1, 2)
