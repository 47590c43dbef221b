"""SegNet (Badrinarayanan et al. 2017)."""

import torch.nn.functional as F
from torch import Tensor

from lightning_seg.networks.layers import he_initialization
from lightning_seg.networks.network import Network
from lightning_seg.networks.recomputation import recomputed
from lightning_seg.networks.vgg import load_vgg, vgg_decoder, vgg_encoder


class SegNet(Network):
    """SegNet: a VGG encoder and its mirror image as decoder, with max-unpooling.

    Unpooling places each value where the encoder's pooling took its maximum. With one 3 x 3
    convolution as head (`ClassificationHead`) it is the network of Audebert et al. (2019):
    29,446,470 parameters for three bands and six classes.

    Max-unpooling has no deterministic mode in PyTorch: ``deterministic: true`` raises an error on
    GPUs (``warn`` does not), although the windows do not overlap and results are reproducible.

    Args:
        in_channels: Number of image channels.
        encoder: ``vgg11_bn``, ``vgg13_bn``, ``vgg16_bn`` or ``vgg19_bn``. The decoder of
            ``vgg11_bn`` ends in an unpooling with three quarters of its pixels zero, so it needs a
            head with 3 x 3 convolutions.
        pretrained: Load timm's pretrained encoder weights.
        weights: File with timm encoder weights to load instead.
        width: Channels of the first stage; pretrained weights have 64.
        checkpointing: Recompute the stages' activations in the backward pass to save memory.

    Raises:
        InputError: Another encoder, or weights that cannot be loaded or do not fit.
    """

    stride = 1
    size_multiple = 32

    def __init__(
        self,
        in_channels: int,
        encoder: str = "vgg16_bn",
        pretrained: bool = False,
        weights: str | None = None,
        width: int = 64,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(in_channels)
        self.encoder = vgg_encoder(encoder, in_channels, width)
        self.decoder = vgg_decoder(encoder, width)
        self.apply(he_initialization)
        load_vgg(self.encoder, encoder, in_channels, pretrained, weights)
        self.out_channels = width
        self.checkpointing = checkpointing

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` (B, width, H, W)."""
        x, maxima = image, []
        for stage in self.encoder:
            x = recomputed(stage, x, self.checkpointing)
            x, where = F.max_pool2d(x, 2, return_indices=True)
            maxima.append(where)
        for stage in self.decoder:
            x = F.max_unpool2d(x, maxima.pop(), [2, 2])
            x = recomputed(stage, x, self.checkpointing)
        return {"decoder": x}
