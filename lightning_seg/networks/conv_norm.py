"""Convolution and batch normalisation."""

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that has an answer for a single value a channel.

    The mean of one value is the value itself: normalised by it, any map is 0, and PyTorch refuses.
    Here the running statistics, those of evaluation, stand in and stay as they are. It is what a
    pyramid's coarsest map needs where a batch, or an epoch's last one, holds a single image.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W), normalised a channel."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class ConvNorm(nn.Sequential):
    """A convolution without bias, and batch normalisation; height and width stay.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            BatchNorm(out_channels),
        )
