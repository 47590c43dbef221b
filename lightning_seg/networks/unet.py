"""U-Net (Ronneberger et al. 2015) on any timm encoder."""

from collections.abc import Sequence
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import he_initialization


class Unet(EncoderNetwork):
    """U-Net: encoder pyramid merged from coarse to fine by nearest upsampling and skips.

    Args:
        decoder_channels: Channels of the decoder steps, coarse to fine. The last is at full
            resolution, the one before at half, and so on; even coarser steps use the first.
        last_convolution: Start with the 1 x 1 convolution after the last stage of a MobileNet or
            EfficientNet, see `Encoder`; segmentation-models-pytorch's ``mobilenet_v2`` does.
    """

    stride = 1

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet34",
        pretrained: bool = False,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        weights: str | None = None,
        checkpointing: bool = False,
        last_convolution: bool = False,
    ) -> None:
        super().__init__(
            in_channels, encoder, pretrained, weights, None, checkpointing, last_convolution,
            auxiliary=False,
        )  # fmt: skip
        pyramid = self.encoder
        self.out_channels = decoder_channels[-1]

        *skip_channels, channels = pyramid.channels
        skips = list(zip(pyramid.strides[:-1], skip_channels, strict=True))[::-1]
        finest = pyramid.strides[0]
        skips += [(finest >> step, 0) for step in range(1, finest.bit_length())]
        self.decoder = nn.ModuleList()
        for stride, skip in skips:
            width = decoder_channels[max(len(decoder_channels) - 1 - int(log2(stride)), 0)]
            self.decoder.append(_DecoderBlock(channels + skip, width))
            channels = width
        self.decoder_strides = [stride for stride, _ in skips]
        self.decoder.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised image (B, C, H, W) to ``{"decoder": (B, out_channels, H, W)}``."""
        height, width = image.shape[-2:]
        *skips, x = self.encoder(image)
        for block, stride in zip(self.decoder, self.decoder_strides, strict=True):
            x = block(x, (height // stride, width // stride), skips.pop() if skips else None)
        return {"decoder": x}


class _DecoderBlock(nn.Module):
    """Upsample, join the skip, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *_conv_bn_relu(in_channels, out_channels), *_conv_bn_relu(out_channels, out_channels)
        )

    def forward(self, x: Tensor, size: Sequence[int], skip: Tensor | None) -> Tensor:
        x = F.interpolate(x, size=tuple(size), mode="nearest")
        return self.convs(x if skip is None else torch.cat([x, skip], dim=1))


def _conv_bn_relu(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
