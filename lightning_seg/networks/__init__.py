"""Networks: image to features. Encoders come from timm; decoders live here."""

from lightning_seg.networks.conv_norm import BatchNorm, ConvNorm
from lightning_seg.networks.deeplab_v3plus import DeepLabV3Plus
from lightning_seg.networks.edge_network import EdgeNetwork
from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.network import Network
from lightning_seg.networks.pretrained import no_pretrained_weights, pretrained_weights_wanted
from lightning_seg.networks.psp_pooling import PSPPooling
from lightning_seg.networks.pspnet import PSPNet
from lightning_seg.networks.resunet_a import ResUNetA
from lightning_seg.networks.unet import Unet

__all__ = [
    "BatchNorm",
    "ConvNorm",
    "DeepLabV3Plus",
    "EdgeNetwork",
    "Encoder",
    "Network",
    "PSPNet",
    "PSPPooling",
    "ResUNetA",
    "Unet",
    "no_pretrained_weights",
    "pretrained_weights_wanted",
]
