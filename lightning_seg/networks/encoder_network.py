"""Base class of the networks on a timm encoder."""

from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.network import Network


class EncoderNetwork(Network):
    """Network on a timm encoder, with the normalisation of the encoder.

    Images are padded to a multiple of the encoder's last stride, so that maps of all strides align
    exactly.

    Args:
        in_channels: Number of image channels.
        encoder: Encoder.
    """

    def __init__(self, in_channels: int, encoder: Encoder) -> None:
        super().__init__(in_channels, encoder.mean, encoder.std)
        self.encoder = encoder
        self.size_multiple = encoder.strides[-1]
        self.normalized_stride = encoder.normalized_stride
