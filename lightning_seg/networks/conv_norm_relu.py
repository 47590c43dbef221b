"""Convolution, batch normalisation and ReLU."""

from torch import nn

from lightning_seg.networks.conv_norm import BatchNorm


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
        padding = dilation * (kernel_size // 2)
        if separable:
            convs: tuple[nn.Module, ...] = (
                nn.Conv2d(
                    in_channels,
                    in_channels,
                    kernel_size,
                    padding=padding,
                    dilation=dilation,
                    groups=in_channels,
                    bias=False,
                ),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )
        else:
            convs = (
                nn.Conv2d(
                    in_channels,
                    out_channels,
                    kernel_size,
                    padding=padding,
                    dilation=dilation,
                    bias=False,
                ),
            )
        super().__init__(*convs, BatchNorm(out_channels), nn.ReLU(inplace=True))
