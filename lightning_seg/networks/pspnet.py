"""PSPNet (Zhao et al. 2017) on any timm encoder."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_seg.errors import check_choice
from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import BatchNorm, ConvNormReLU, he_initialization, resized_as

Upsampling = Literal["bilinear", "transposed"]


class PSPNet(EncoderNetwork):
    """PSPNet: the last encoder map fused with its means over grids of increasing resolution.

    Args:
        output_stride: Stride of the pyramid; 8 in the paper, 32 in Audebert et al. (2019).
        bins: Number of cells along each side, per grid.
        channels: Channels of the features after the pyramid.
        upsampling: ``bilinear`` keeps the features at ``output_stride``, and class scores are
            interpolated. ``transposed`` upsamples them to full resolution with 64 channels by
            transposed convolutions of stride 2, as in Audebert et al. (2019), who give no widths.
        dropout: Share of feature channels dropped in training.

    Raises:
        InputError: See `Encoder`; an unknown upsampling.
    """

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet50",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 8,
        bins: Sequence[int] = (1, 2, 3, 6),
        channels: int = 512,
        upsampling: Upsampling = "bilinear",
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> None:
        check_choice("upsampling", upsampling, Upsampling)
        super().__init__(in_channels, encoder, pretrained, weights, output_stride, checkpointing)
        pyramid = self.encoder
        self.out_channels, self.stride = channels, output_stride
        self.pooling = _PyramidPooling(pyramid.channels[-1], bins)
        steps: list[nn.Module] = [
            ConvNormReLU(self.pooling.out_channels, channels),
            nn.Dropout2d(dropout),
        ]
        if upsampling == "transposed":
            while self.stride > 1:
                wider, self.out_channels = self.out_channels, max(self.out_channels // 2, 64)
                self.stride //= 2
                steps += _doubling(wider, self.out_channels)
        self.decoder = nn.Sequential(*steps)
        self.pooling.apply(he_initialization)
        self.decoder.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` and ``auxiliary``."""
        maps = self.encoder(image)
        return {"decoder": self.decoder(self.pooling(maps[-1])), "auxiliary": maps[-2]}


class _PyramidPooling(nn.Module):
    """Concatenation of a map with its resized means over several grids (figure 3c)."""

    def __init__(self, in_channels: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = tuple(bins)
        share = in_channels // len(self.bins)
        self.branches = nn.ModuleList(
            ConvNormReLU(in_channels, share, kernel_size=1) for _ in self.bins
        )
        self.out_channels = in_channels + share * len(self.bins)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        maps = [x]
        for bins, branch in zip(self.bins, self.branches, strict=True):
            maps.append(resized_as(branch(bin_means(x, bins)), x))
        return torch.cat(maps, dim=1)


def _doubling(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        BatchNorm(out_channels),
        nn.ReLU(inplace=True),
    )


def bin_means(x: Tensor, bins: int) -> Tensor:
    """Average (B, C, h, w) over ``bins`` x ``bins`` cells, (B, C, bins, bins).

    The cells are those of `torch.nn.functional.adaptive_avg_pool2d`, which does not export for
    dynamic sizes and whose gradient on GPUs is not deterministic.
    """
    if bins == 1:
        return x.mean(dim=(2, 3), keepdim=True)
    rows = _cells(x.shape[2], bins, x)
    columns = _cells(x.shape[3], bins, x)
    return rows @ x @ columns.T


def _cells(length: int, bins: int, like: Tensor) -> Tensor:
    """Weights (bins, length) of each position in the mean of each cell."""
    position = torch.arange(length, device=like.device)
    cell = torch.arange(bins, device=like.device)[:, None]
    start = cell * length // bins
    end = ((cell + 1) * length + bins - 1) // bins
    inside = (position >= start) & (position < end)
    return inside.to(like.dtype) / (end - start)
