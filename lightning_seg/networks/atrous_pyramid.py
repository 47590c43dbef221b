"""Atrous spatial pyramid pooling (ASPP) of DeepLab v3."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_seg.networks.layers import ConvNormReLU


class AtrousPyramid(nn.Module):
    """Parallel convolutions with increasing dilation, fused with image-level features.

    A 1 x 1 convolution, one 3 x 3 convolution per rate, and the mean over the whole map (Chen et
    al. 2018, "Encoder-decoder with atrous separable convolution", section 3.1), each with batch
    normalisation and ReLU, fused by a 1 x 1 convolution.

    Args:
        in_channels: Channels of the map.
        channels: Channels of each branch and of the output.
        rates: Dilations.
        dropout: Dropout rate of the output.
        separable: Use atrous separable convolutions.
        extra_channels: Channels of an additional map to fuse, see `forward`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        rates: Sequence[int] = (6, 12, 18),
        dropout: float = 0.5,
        separable: bool = False,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvNormReLU(in_channels, channels, kernel_size=1)])
        self.branches.extend(
            ConvNormReLU(in_channels, channels, dilation=rate, separable=separable)
            for rate in rates
        )
        self.whole = ConvNormReLU(in_channels, channels, kernel_size=1)
        joined = channels * (len(rates) + 2) + extra_channels
        self.join = nn.Sequential(
            ConvNormReLU(joined, channels, kernel_size=1), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        """Fuse (B, in_channels, h, w) and (B, extra_channels, h, w) to (B, channels, h, w)."""
        maps = [branch(x) for branch in self.branches]
        maps.append(self.whole(x.mean(dim=(2, 3), keepdim=True)).expand_as(maps[0]))
        if extra is not None:
            maps.append(extra)
        joined: Tensor = self.join(torch.cat(maps, dim=1))
        return joined
