"""Stages of VGG (Simonyan and Zisserman 2015) and of its mirror image."""

import difflib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from torch import nn

from lightning_seg.errors import InputError
from lightning_seg.networks.encoder import Encoder
from lightning_seg.networks.pretrained import pretrained_weights_wanted

CONVOLUTIONS = {
    "vgg11_bn": (1, 1, 2, 2, 2),
    "vgg13_bn": (2, 2, 2, 2, 2),
    "vgg16_bn": (2, 2, 3, 3, 3),
    "vgg19_bn": (2, 2, 4, 4, 4),
}
WIDENING = (1, 2, 4, 8, 8)
PRETRAINED_WIDTH = 64


def vgg_encoder(name: str, in_channels: int, width: int = 64) -> nn.ModuleList:
    """Build the five stages of a VGG with batch normalisation, without the pooling layers.

    Args:
        name: ``vgg11_bn``, ``vgg13_bn``, ``vgg16_bn`` or ``vgg19_bn``.
        in_channels: Number of image channels.
        width: Channels of the first stage; 64 in the paper.
    """
    if name not in CONVOLUTIONS:
        near = difflib.get_close_matches(name, CONVOLUTIONS, n=1, cutoff=0.5)
        hint = f". Did you mean {near[0]}?" if near else ""
        raise InputError(
            f"encoder is {name!r}, but it must be a VGG with batch normalisation, whose pooling "
            f"can be undone: {', '.join(CONVOLUTIONS)}{hint}"
        )
    stages, channels = [], in_channels
    for convolutions, widening in zip(CONVOLUTIONS[name], WIDENING, strict=True):
        widths = [channels] + [width * widening] * convolutions
        stages.append(_stage(widths))
        channels = widths[-1]
    return nn.ModuleList(stages)


def vgg_decoder(name: str, width: int = 64) -> nn.ModuleList:
    """Build the mirror image of `vgg_encoder`, deepest stage first, without the last convolution.

    That convolution is the classifier, so the last stage outputs ``width`` channels.
    """
    stages = []
    for stage in range(4, -1, -1):
        here = width * WIDENING[stage]
        after = [width * WIDENING[stage - 1]] if stage else []
        stages.append(_stage([here] * CONVOLUTIONS[name][stage] + after))
    return nn.ModuleList(stages)


def load_vgg(
    stages: nn.ModuleList, name: str, in_channels: int, pretrained: bool, weights: str | Path | None
) -> bool:
    """Load timm weights into the stages of `vgg_encoder`; return False if none are requested."""
    if not (pretrained or weights) or not pretrained_weights_wanted():
        return False
    layers = _layers(stages)
    if layers[0].weight.shape[0] != PRETRAINED_WIDTH:
        raise InputError(
            f"pretrained weights of {name} have {PRETRAINED_WIDTH} channels in their first stage, "
            f"but width is {layers[0].weight.shape[0]}; set width: {PRETRAINED_WIDTH}, or "
            "pretrained: false and no weights"
        )
    source = _layers(Encoder(name, in_channels, pretrained, weights))
    for layer, other in zip(layers, source, strict=True):
        layer.load_state_dict(other.state_dict())
    return True


def _stage(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        conv = nn.Conv2d(before, after, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _layers(module: nn.Module) -> list[nn.Conv2d | nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
