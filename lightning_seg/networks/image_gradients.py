"""Image gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_magnitude(image: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient of the channel mean.

    Args:
        image: (B, C, H, W) floating point; borders are replicated.

    Returns:
        (B, 1, H, W), in image units per pixel: a straight edge from 0 to 1 gives 1/2 on both sides.
    """
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([sobel, sobel.T]).unsqueeze(1).to(image)
    grey = F.pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    squared = F.conv2d(grey, kernels).square().sum(dim=1, keepdim=True)
    return (squared + 1e-12).sqrt()  # the gradient of the root is infinite at 0
