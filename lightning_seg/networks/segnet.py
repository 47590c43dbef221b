"""SegNet (Badrinarayanan et al. 2017)."""

from torch import Tensor

from lightning_seg.networks.initialization import he_initialization
from lightning_seg.networks.network import Network
from lightning_seg.networks.vgg import load_vgg, pooled, run, unpooled, vgg_decoder, vgg_encoder


class SegNet(Network):
    """SegNet: VGG's convolutions and their mirror image, with max-unpooling in between.

    Each value of the decoder goes back to where the encoder's pooling took its maximum from. With
    one 3 x 3 convolution as its head (`ClassificationHead`) it is the network of Audebert et al.
    (2019): 29,446,470 parameters for three bands and six classes.

    Max-unpooling has no deterministic mode in PyTorch: ``deterministic: true`` refuses it on GPUs
    (``warn`` does not), although its windows do not overlap and so its results do not differ.

    Args:
        in_channels: Number of image channels.
        encoder: ``vgg11_bn``, ``vgg13_bn``, ``vgg16_bn`` or ``vgg19_bn``. The mirror image of
            ``vgg11_bn`` ends in an unpooling, three quarters of whose pixels are zeros: it needs a
            head of 3 x 3 convolutions.
        pretrained: Load timm's pretrained encoder weights.
        weights: A file with encoder weights of timm's to load instead.
        width: Channels of the first stage; pretrained weights have 64.
        checkpointing: Compute the stages' inner activations again in the backward pass.

    Raises:
        InputError: Another encoder, or weights that cannot be had or do not fit.
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
        """Normalised image (B, C, H, W) to ``decoder`` (B, width, H, W)."""
        x, places = image, []
        for stage in self.encoder:
            x, where = pooled(run(stage, x, self.checkpointing))
            places.append(where)
        for stage in self.decoder:
            x = run(stage, unpooled(x, places.pop()), self.checkpointing)
        return {"decoder": x}
