"""Depthwise convolutions at full precision on a CPU."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


def depthwise_in_float32(module: nn.Module) -> None:
    """Let autocast leave the depthwise convolutions of ``module`` in float32 on a CPU.

    Their backward pass in bfloat16 is several times slower than in float32 on a CPU, in
    channels-last format; all other layers gain from bfloat16 (benchmarks/depthwise.py). Without
    autocast and on other devices nothing changes. Weights and their names stay as they are.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            layer.forward = partial(_forward, layer.forward)  # type: ignore[method-assign]


def _forward(convolve: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return convolve(x)
    with torch.autocast("cpu", enabled=False):
        return convolve(x.float())
