"""FuseNet (Hazirbas et al. 2016)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.networks.layers import he_initialization
from lightning_seg.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network
from lightning_seg.networks.recomputation import recomputed
from lightning_seg.networks.vgg import load_vgg, vgg_decoder, vgg_encoder

RGB = 3


class FuseNet(Network):
    """FuseNet: a SegNet with a second encoder for depth, added to the first.

    Depth features are added to the image features before each pooling ("sparse fusion"). Both
    encoders get pretrained weights; the first depth convolution gets the mean over RGB.

    Args:
        in_channels: Number of image channels: red, green, blue, then depth (or other rasters).
        encoder: ``vgg11_bn``, ``vgg13_bn``, ``vgg16_bn`` or ``vgg19_bn``.
        pretrained: Load timm's pretrained weights into both encoders.
        weights: File with timm encoder weights to load instead.
        width: Channels of the first stage; pretrained weights have 64.
        dropout: Dropout rate after the third to fifth pooling and after the first three stages of
            the decoder.
        checkpointing: Recompute the stages' activations in the backward pass to save memory.

    Raises:
        InputError: No channel beside RGB, another encoder, or weights that cannot be loaded or do
            not fit.
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
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        if in_channels <= RGB:
            raise InputError(
                f"FuseNet joins RGB and depth, but in_channels is {in_channels}; use images "
                "with at least 4 channels, the first three RGB, or choose SegNet"
            )
        depth_channels = in_channels - RGB
        super().__init__(
            in_channels,
            (*IMAGENET_MEAN, *[sum(IMAGENET_MEAN) / RGB] * depth_channels),
            (*IMAGENET_STD, *[sum(IMAGENET_STD) / RGB] * depth_channels),
        )
        self.encoder = vgg_encoder(encoder, RGB, width)
        self.depth_encoder = vgg_encoder(encoder, depth_channels, width)
        self.decoder = vgg_decoder(encoder, width)
        self.dropout = nn.Dropout(dropout)
        self.apply(he_initialization)
        if load_vgg(self.encoder, encoder, RGB, pretrained, weights):
            self._copy_weights_to_depth()
        self.out_channels = width
        self.checkpointing = checkpointing

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalised image (B, C, H, W) to ``decoder`` (B, width, H, W)."""
        x, depth, maxima = image[:, :RGB], image[:, RGB:], []
        for i, (stage, depth_stage) in enumerate(
            zip(self.encoder, self.depth_encoder, strict=True)
        ):
            depth = recomputed(depth_stage, depth, self.checkpointing)
            x = recomputed(stage, x, self.checkpointing) + depth
            x, where = F.max_pool2d(x, 2, return_indices=True)
            maxima.append(where)
            depth = F.max_pool2d(depth, 2)
            if i >= 2:
                x, depth = self.dropout(x), self.dropout(depth)
        for i, stage in enumerate(self.decoder):
            x = F.max_unpool2d(x, maxima.pop(), [2, 2])
            x = recomputed(stage, x, self.checkpointing)
            if i < 3:
                x = self.dropout(x)
        return {"decoder": x}

    @torch.no_grad()
    def _copy_weights_to_depth(self) -> None:
        state, own = self.encoder.state_dict(), self.depth_encoder.state_dict()
        first = next(iter(state))
        mean = state[first].mean(dim=1, keepdim=True) / own[first].shape[1]
        state[first] = mean.expand_as(own[first])
        self.depth_encoder.load_state_dict(state)
