"""How convolutions start."""

from torch import nn


def he_initialization(module: nn.Module) -> None:
    """Fills a convolution's weights as He et al. (2015) do before ReLU; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
