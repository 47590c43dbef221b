"""DeepLab v3+ (Chen et al. 2018) on any timm encoder that supports dilation."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import check_choice
from lightning_seg.networks.atrous_pyramid import AtrousPyramid
from lightning_seg.networks.encoder import EncoderNetwork
from lightning_seg.networks.layers import ConvNormReLU, he_initialization, resized_as

Variant = Literal["paper", "smp"]


class DeepLabV3Plus(EncoderNetwork):
    """DeepLab v3+: atrous pyramid fused with low-level features at stride 4.

    Chen et al. (2018) apply two convolutions after the fusion. ``variant="smp"`` is the network of
    segmentation-models-pytorch: one of the two convolutions precedes the upsampling of the pyramid,
    which uses ``align_corners=True``; all are separable, with rates 12, 24 and 36; and all
    convolutions of an encoder stage have the same dilation. Its head is
    ``ClassificationHead(kernel_size=1)``, and its ``mobilenet_v2`` is ``mobilenetv2_100`` with
    ``last_convolution``.

    Args:
        encoder: Name of a timm model; Xception (``xception71``), ResNets and MobileNets dilate.
        output_stride: Stride of the atrous pyramid, 8 or 16 in the paper.
        rates: Dilations of the pyramid; by default 6, 12 and 18 at stride 16, doubled at stride 8
            and halved at stride 32; 12, 24 and 36 in the variant ``smp``.
        channels: Channels of the pyramid and of the decoder.
        low_level_channels: Channels of the reduced features at stride 4.
        separable: Separable convolutions in pyramid and decoder, as in the paper with Xception; by
            default only in the variant ``smp``.
        dropout: Dropout rate after the pyramid; the paper does not state it.
        variant: ``paper`` or ``smp``, see above.

    Raises:
        InputError: See `Encoder`; an encoder without features at stride 4; an unknown variant.
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
        separable: bool | None = None,
        dropout: float = 0.5,
        checkpointing: bool = False,
        variant: Variant = "paper",
        last_convolution: bool = False,
    ) -> None:
        check_choice("variant", variant, Variant)
        smp = variant == "smp"
        super().__init__(
            in_channels, encoder, pretrained, weights, output_stride, checkpointing,
            last_convolution, dilate_first=smp,
        )  # fmt: skip
        pyramid = self.encoder
        self.low_level = pyramid.index_of_stride(4)
        self.out_channels = channels
        self.corners_aligned = smp
        separable = smp if separable is None else separable
        if rates is None:
            rates = (12, 24, 36) if smp else [rate * 16 // output_stride for rate in (6, 12, 18)]
        self.atrous_pyramid = AtrousPyramid(
            pyramid.channels[-1], channels, rates, dropout, separable
        )
        self.reduce = ConvNormReLU(
            pyramid.channels[self.low_level], low_level_channels, kernel_size=1
        )
        joined = ConvNormReLU(channels + low_level_channels, channels, separable=separable)
        second = ConvNormReLU(channels, channels, separable=separable)
        self.before_join = second if smp else nn.Identity()
        self.decoder = nn.Sequential(joined) if smp else nn.Sequential(joined, second)
        for module in (self.atrous_pyramid, self.reduce, joined, second):
            module.apply(he_initialization)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` at stride 4 and ``auxiliary``."""
        maps = self.encoder(image)
        low = self.reduce(maps[self.low_level])
        x = self.before_join(self.atrous_pyramid(maps[-1]))
        if self.corners_aligned:
            x = F.interpolate(x, size=low.shape[-2:], mode="bilinear", align_corners=True)
        else:
            x = resized_as(x, low)
        return {"decoder": self.decoder(torch.cat([x, low], dim=1)), "auxiliary": maps[-2]}
