"""Auxiliary classifier on the features of an earlier stage."""

from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head
from lightning_seg.networks import Network
from lightning_seg.networks.layers import ConvNormReLU


class AuxiliaryHead(Head):
    """Auxiliary classifier of an earlier stage, for deep supervision.

    As in Zhao et al. (2017), section 3.3: a 3 x 3 convolution to a quarter of the channels, batch
    normalisation, ReLU, dropout, and a 1 x 1 convolution. The paper weights its loss by 0.4.

    Args:
        network: Network with the feature ``auxiliary``, such as the third stage of a ResNet.
        num_classes: K, at least 2.
        dropout: Share of channels dropped in training.

    Raises:
        InputError: The network has no feature ``auxiliary``.
    """

    predictions = ("auxiliary",)
    scores = ("auxiliary",)

    def __init__(self, network: Network, num_classes: int, dropout: float = 0.1) -> None:
        channels = network.auxiliary_channels
        if channels == 0:
            raise InputError(
                f"{type(network).__name__} has no feature 'auxiliary' for an AuxiliaryHead; choose "
                "a network such as PSPNet, or leave it out (model.auxiliary: null)"
            )
        super().__init__(channels, num_classes)
        width = max(channels // 4, 1)
        self.auxiliary = nn.Sequential(
            ConvNormReLU(channels, width), nn.Dropout2d(dropout), nn.Conv2d(width, num_classes, 1)
        )

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return class scores (B, K, h, w) of the feature ``auxiliary`` (B, C, h, w)."""
        return {"auxiliary": self.auxiliary(features["auxiliary"])}
