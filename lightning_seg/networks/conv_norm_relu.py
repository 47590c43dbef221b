"""Convolution, batch normalisation and ReLU."""

from torch import nn

from lightning_seg.networks.conv_norm import BatchNorm


class ConvNormReLU(nn.Sequential):
    """A convolution without bias, batch normalisation, ReLU; height and width stay.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd side of the convolution.
        dilation: Distance of its taps.
        separable: One such convolution for each channel by itself, then a 1 x 1 convolution.
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
