"""Where an image changes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_magnitude(image: Tensor) -> Tensor:
    """Length of the Sobel gradient of the mean over the channels.

    Args:
        image: (B, C, H, W) floating point; its border pixels are repeated outside.

    Returns:
        (B, 1, H, W), of the image's unit a pixel: a straight edge from 0 to 1 gives 1/2 on both of
        its sides.
    """
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1).to(image)
    grey = F.pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    squared = F.conv2d(grey, kernels).square().sum(dim=1, keepdim=True)
    return (squared + 1e-12).sqrt()  # whose gradient is finite where nothing changes
