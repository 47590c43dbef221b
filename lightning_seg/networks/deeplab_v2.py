"""DeepLab v2 (Chen et al. 2017) over any timm encoder that dilates."""

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.encoder_network import EncoderNetwork


class DeepLabV2(EncoderNetwork):
    """DeepLab v2: parallel dilated convolutions of an encoder's last map, summed.

    The paper's convolutions give class scores. Here they give ``channels`` features, for any head,
    with nothing between them and the head: with a 1 x 1 classifier
    (``ClassificationHead(kernel_size=1)``) and at least as many channels as classes both compute
    the same set of functions.

    Args:
        in_channels: Number of image channels.
        encoder: A timm model name.
        pretrained: Load timm's pretrained encoder weights.
        weights: A file with encoder weights to load instead, see `Encoder`.
        output_stride: Stride of the features; 8 in the paper.
        rates: Dilations; the paper's large ones (ASPP-L).
        channels: Channels of the features; no fewer than there are classes.
        checkpointing: Compute the encoder's inner activations again in the backward pass.

    Raises:
        InputError: See `Encoder`.
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
        pyramid = Encoder(encoder, in_channels, pretrained, weights, output_stride, checkpointing)
        super().__init__(in_channels, pyramid)
        self.out_channels, self.stride = channels, output_stride
        self.auxiliary_channels = pyramid.channels[-2]
        self.feature_strides = {"auxiliary": pyramid.strides[-2]}
        self.branches = nn.ModuleList(
            nn.Conv2d(pyramid.channels[-1], channels, 3, padding=rate, dilation=rate)
            for rate in rates
        )

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised image (B, C, H, W) to ``decoder`` and ``auxiliary``.

        ``auxiliary`` is the encoder's last map but one, the third stage of a ResNet.
        """
        maps = self.encoder(image)
        first, *others = [branch(maps[-1]) for branch in self.branches]
        return {"decoder": sum(others, start=first), "auxiliary": maps[-2]}
