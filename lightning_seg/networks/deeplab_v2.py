"""DeepLab v2 (Chen et al. 2017) on any timm encoder that supports dilation."""

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_seg.networks.encoder import EncoderNetwork


class DeepLabV2(EncoderNetwork):
    """DeepLab v2: sum of parallel dilated convolutions of the last encoder map.

    In the paper the convolutions output class scores. Here they output ``channels`` features for
    any head, without an activation. With a 1 x 1 classifier (``ClassificationHead(kernel_size=1)``)
    and at least as many channels as classes both represent the same functions.

    Args:
        output_stride: Stride of the features; 8 in the paper.
        rates: Dilations; the paper's large ones (ASPP-L).
        channels: Channels of the features; at least the number of classes.
    """

    def __init__(
        self,
        in_channels: int,
        encoder: str = "resnet101",
        pretrained: bool = False,
        weights: str | None = None,
        output_stride: int = 8,
        rates: Sequence[int] = (6, 12, 18, 24),
        channels: int = 256,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(in_channels, encoder, pretrained, weights, output_stride, checkpointing)
        pyramid = self.encoder
        self.out_channels, self.stride = channels, output_stride
        self.branches = nn.ModuleList(
            nn.Conv2d(pyramid.channels[-1], channels, 3, padding=rate, dilation=rate)
            for rate in rates
        )

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` and ``auxiliary``."""
        maps = self.encoder(image)
        first, *others = [branch(maps[-1]) for branch in self.branches]
        return {"decoder": sum(others, start=first), "auxiliary": maps[-2]}
