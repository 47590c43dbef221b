"""U-Net with dense blocks on a DenseNet encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import BatchNorm, he_initialization


class DenseUNet(EncoderNetwork):
    """DenseNet encoder with a decoder of dense blocks.

    Audebert et al. (2019) use a DenseUNet without specifying its layers. The decoder follows Jégou
    et al. (2017), section 3: each step doubles the map by a transposed convolution, concatenates
    the encoder map of that size, and passes on the features that a dense block adds. The last step,
    at full resolution, has no encoder map and also passes on its input.

    Args:
        growth: Channels that each layer of a dense block adds.
        layers: Number of layers of each decoder block, coarse to fine, one block per halving of the
            encoder; by default those of FC-DenseNet103.
        dropout: Dropout rate after each layer.

    Raises:
        InputError: Not one block per halving of the encoder; see `Encoder`.
    """

    stride = 1

    def __init__(
        self,
        in_channels: int,
        encoder: str = "densenet121",
        pretrained: bool = False,
        weights: str | None = None,
        growth: int = 16,
        layers: Sequence[int] = (12, 10, 7, 5, 4),
        dropout: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            in_channels, encoder, pretrained, weights, checkpointing=checkpointing, auxiliary=False
        )
        pyramid = self.encoder
        halvings = pyramid.strides[-1].bit_length() - 1
        if len(layers) != halvings:
            raise InputError(
                f"layers gives {len(layers)} blocks, but the encoder {encoder!r} halves the image "
                f"{halvings} times; give one number for each"
            )
        skips = dict(zip(pyramid.strides, pyramid.channels))
        channels, stride = pyramid.channels[-1], pyramid.strides[-1]
        self.steps = nn.ModuleList()
        for depth in layers:
            stride //= 2
            self.steps.append(_Step(channels, skips.get(stride, 0), growth, depth, dropout))
            channels = growth * depth
        last: Any = self.steps[-1]
        self.out_channels = last.joined + channels
        self.steps.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` (B, out_channels, H, W)."""
        *maps, x = self.encoder(image)
        skips = dict(zip(self.encoder.strides, maps))
        stride = self.encoder.strides[-1]
        for step in self.steps:
            stride //= 2
            given, x = step(x, skips.get(stride))
        return {"decoder": torch.cat([given, x], dim=1)}


class _Step(nn.Module):
    """Upsampling by 2, concatenation with a skip, and a dense block."""

    def __init__(
        self, in_channels: int, skip_channels: int, growth: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        width = min(in_channels, growth * layers)
        self.up = nn.ConvTranspose2d(in_channels, width, 3, stride=2, padding=1, output_padding=1)
        self.joined = width + skip_channels
        self.layers = nn.ModuleList(
            nn.Sequential(
                BatchNorm(self.joined + i * growth),
                nn.ReLU(inplace=True),
                nn.Conv2d(self.joined + i * growth, growth, 3, padding=1),
                nn.Dropout(dropout),
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the input of the dense block and the features that it adds."""
        x = self.up(x)
        given = x if skip is None else torch.cat([x, skip], dim=1)
        added: list[Tensor] = []
        for layer in self.layers:
            added.append(layer(torch.cat([given, *added], dim=1)))
        return given, torch.cat(added, dim=1)
