"""What the networks over an encoder of timm's have in common."""

from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.network import Network


class EncoderNetwork(Network):
    """A network over a timm encoder, whose normalisation it takes on.

    Sizes are multiples of the encoder's last stride, so that maps of all strides lie exactly above
    each other.

    Args:
        in_channels: Number of image channels.
        encoder: The encoder.
    """

    def __init__(self, in_channels: int, encoder: Encoder) -> None:
        super().__init__(in_channels, encoder.mean, encoder.std)
        self.encoder = encoder
        self.size_multiple = encoder.strides[-1]
        self.normalized_stride = encoder.normalized_stride
