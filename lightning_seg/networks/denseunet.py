"""U-Net of densely connected blocks over a DenseNet."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.networks.conv_norm import BatchNorm
from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.encoder_network import EncoderNetwork
from lightning_seg.networks.initialization import he_initialization


class DenseUNet(EncoderNetwork):
    """A DenseNet, and dense blocks on the way up again.

    Audebert et al. (2019) name a DenseUNet and give no layers. The decoder is that of Jégou et al.
    (2017), section 3: at each step the map is doubled by a transposed convolution and joined with
    the encoder's of that size, and a dense block passes on the features that it has added. The
    last step, at full resolution, has no map to join and passes on what it was given, too.

    Args:
        in_channels: Number of image channels.
        encoder: A timm model name.
        pretrained: Load timm's pretrained encoder weights.
        weights: A file with encoder weights to load instead, see `Encoder`.
        growth: Channels that each layer of a dense block adds.
        layers: Layers of the decoder's blocks, coarse to fine; there must be one for each halving
            of the encoder. Five by default, as in the FC-DenseNet103.
        dropout: Share of a layer's output dropped in training.
        checkpointing: Compute the encoder's inner activations again in the backward pass.

    Raises:
        InputError: Another number of blocks than the encoder has halvings; see `Encoder`.
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
        pyramid = Encoder(encoder, in_channels, pretrained, weights, checkpointing=checkpointing)
        super().__init__(in_channels, pyramid)
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
        """Normalised image (B, C, H, W) to ``decoder`` (B, out_channels, H, W)."""
        *maps, x = self.encoder(image)
        skips = dict(zip(self.encoder.strides, maps))
        stride = self.encoder.strides[-1]
        for step in self.steps:
            stride //= 2
            given, x = step(x, skips.get(stride))
        return {"decoder": torch.cat([given, x], dim=1)}


class _Step(nn.Module):
    """Doubles the map's size, joins a skip, and adds features by a dense block."""

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
        """What the block is given and what it adds."""
        x = self.up(x)
        given = x if skip is None else torch.cat([x, skip], dim=1)
        added: list[Tensor] = []
        for layer in self.layers:
            added.append(layer(torch.cat([given, *added], dim=1)))
        return given, torch.cat(added, dim=1)
