"""Networks: image to features. Encoders come from timm; decoders live here."""

from lightning_seg.networks.encoder import Encoder, no_pretrained_weights
from lightning_seg.networks.network import Network
from lightning_seg.networks.unet import Unet

__all__ = ["Encoder", "Network", "Unet", "no_pretrained_weights"]
