"""DeepLab v3+ (Chen et al. 2018) over any timm encoder that dilates."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_seg.networks.atrous_pyramid import AtrousPyramid
from lightning_seg.networks.conv_norm_relu import ConvNormReLU
from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.encoder_network import EncoderNetwork
from lightning_seg.networks.initialization import he_initialization
from lightning_seg.networks.resizing import resized_as


class DeepLabV3Plus(EncoderNetwork):
    """DeepLab v3+: atrous pyramid, joined with low-level features at stride 4.

    Args:
        in_channels: Number of image channels.
        encoder: A timm model name; Xception (``xception71``), ResNets and MobileNets dilate.
        pretrained: Load timm's pretrained encoder weights.
        weights: A file with encoder weights to load instead, see `Encoder`.
        output_stride: Stride of the atrous pyramid, 8 or 16 in the paper.
        rates: Dilations of the pyramid; by default 6, 12 and 18 at stride 16, doubled at stride 8,
            and halved at stride 32.
        channels: Channels of the pyramid and of the decoder.
        low_level_channels: Channels that the features at stride 4 are reduced to.
        separable: Separable convolutions in pyramid and decoder, as the paper has with Xception.
        dropout: Share of the pyramid's values dropped in training; the paper gives none.
        checkpointing: Compute the encoder's inner activations again in the backward pass.

    Raises:
        InputError: See `Encoder`, and an encoder without features at stride 4.
    """

    stride = 4

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet50",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 16,
        rates: Sequence[int] | None = None,
        channels: int = 256,
        low_level_channels: int = 48,
        separable: bool = False,
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        pyramid = Encoder(encoder, in_channels, pretrained, weights, output_stride, checkpointing)
        super().__init__(in_channels, pyramid)
        self.low_level = pyramid.index_of_stride(4)
        self.out_channels = channels
        self.auxiliary_channels = pyramid.channels[-2]
        self.feature_strides = {"auxiliary": pyramid.strides[-2]}
        rates = rates or [rate * 16 // output_stride for rate in (6, 12, 18)]
        self.atrous_pyramid = AtrousPyramid(
            pyramid.channels[-1], channels, rates, dropout, separable
        )
        self.reduce = ConvNormReLU(
            pyramid.channels[self.low_level], low_level_channels, kernel_size=1
        )
        self.decoder = nn.Sequential(
            ConvNormReLU(channels + low_level_channels, channels, separable=separable),
            ConvNormReLU(channels, channels, separable=separable),
        )
        for module in (self.atrous_pyramid, self.reduce, self.decoder):
            module.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised image (B, C, H, W) to ``decoder`` at stride 4 and ``auxiliary``.

        ``auxiliary`` is the encoder's last map but one.
        """
        maps = self.encoder(image)
        low = self.reduce(maps[self.low_level])
        x = torch.cat([resized_as(self.atrous_pyramid(maps[-1]), low), low], dim=1)
        return {"decoder": self.decoder(x), "auxiliary": maps[-2]}
