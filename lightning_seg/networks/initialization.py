"""Initialization of convolutions."""

from torch import nn


def he_initialization(module: nn.Module) -> None:
    """Initialize convolution weights as in He et al. (2015) for ReLU; pass to `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
