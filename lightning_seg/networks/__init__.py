"""Networks that map an image to features.

Encoders come from timm. Decoders are defined here, or belong to a whole model of another library.
"""

from lightning_seg.networks.ccnet import CCNet
from lightning_seg.networks.deeplab_v2 import DeepLabV2
from lightning_seg.networks.deeplab_v3plus import DeepLabV3Plus
from lightning_seg.networks.denseunet import DenseUNet
from lightning_seg.networks.depthwise import depthwise_in_float32
from lightning_seg.networks.edge_network import EdgeNetwork
from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.fusenet import FuseNet
from lightning_seg.networks.gscnn import GSCNN
from lightning_seg.networks.layers import BatchNorm, ConvNorm
from lightning_seg.networks.network import Network
from lightning_seg.networks.pretrained import no_pretrained_weights, pretrained_weights_wanted
from lightning_seg.networks.psanet import PSANet
from lightning_seg.networks.psp_pooling import PSPPooling
from lightning_seg.networks.pspnet import PSPNet
from lightning_seg.networks.resunet_a import ResUNetA
from lightning_seg.networks.segnet import SegNet
from lightning_seg.networks.smp_network import SMPNetwork
from lightning_seg.networks.transformers_network import TransformersNetwork
from lightning_seg.networks.unet import Unet

__all__ = [
    "GSCNN",
    "BatchNorm",
    "CCNet",
    "ConvNorm",
    "DeepLabV2",
    "DeepLabV3Plus",
    "DenseUNet",
    "EdgeNetwork",
    "Encoder",
    "FuseNet",
    "Network",
    "PSANet",
    "PSPNet",
    "PSPPooling",
    "ResUNetA",
    "SMPNetwork",
    "SegNet",
    "TransformersNetwork",
    "Unet",
    "depthwise_in_float32",
    "no_pretrained_weights",
    "pretrained_weights_wanted",
]
