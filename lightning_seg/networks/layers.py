"""Layers that several networks share."""

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that accepts a single value per channel in training.

    Batch statistics of a single value are meaningless, and PyTorch raises an error. Here the
    running statistics are used instead and are not updated. The coarsest map of a pyramid needs
    this when a batch, such as the last of an epoch, holds a single image.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W) per channel."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class ConvNorm(nn.Sequential):
    """Convolution (odd kernel) without bias and batch normalisation; keeps height and width."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            BatchNorm(out_channels),
        )


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, batch normalisation and ReLU; keeps height and width.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size.
        dilation: Dilation of the convolution.
        separable: Use a depthwise convolution followed by a 1 x 1 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        separable: bool = False,
    ) -> None:
        width, groups = (in_channels, in_channels) if separable else (out_channels, 1)
        padding = dilation * (kernel_size // 2)
        convs = [
            nn.Conv2d(
                in_channels, width, kernel_size, padding=padding, dilation=dilation, groups=groups,
                bias=False,
            )
        ]  # fmt: skip
        if separable:
            convs.append(nn.Conv2d(in_channels, out_channels, 1, bias=False))
        super().__init__(*convs, BatchNorm(out_channels), nn.ReLU(inplace=True))


def he_initialization(module: nn.Module) -> None:
    """Initialize convolution weights as in He et al. (2015) for ReLU; pass to `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")


def resized_as(x: Tensor, other: Tensor) -> Tensor:
    """Resize ``x`` (B, C, h, w) bilinearly to the height and width of ``other``."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
