"""A classifier with a second one on the features of an earlier stage."""

from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head
from lightning_seg.networks.conv_norm_relu import ConvNormReLU


class AuxiliaryHead(Head):
    """A classifier, and another of an earlier stage that helps the training of deep networks.

    The second one is that of Zhao et al. (2017), section 3.3: a 3 x 3 convolution to a quarter of
    the channels, batch normalisation, ReLU, dropout, and a 1 x 1 convolution. Its loss has a weight
    of 0.4 there; ``logits`` alone are what is predicted.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        auxiliary_channels: Channels of the features under ``auxiliary``; 1024 in a ResNet-50 or
            -101, 256 in a ResNet-18 or -34.
        kernel_size: Odd side of the main classifier.
        dropout: Share of the auxiliary features dropped in training, channel by channel.
    """

    predictions = ("logits", "auxiliary")
    scores = ("logits", "auxiliary")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        auxiliary_channels: int = 1024,
        kernel_size: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(in_channels, num_classes)
        self.auxiliary_channels = auxiliary_channels
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size, padding="same")
        width = max(auxiliary_channels // 4, 1)
        self.auxiliary = nn.Sequential(
            ConvNormReLU(auxiliary_channels, width),
            nn.Dropout2d(dropout),
            nn.Conv2d(width, num_classes, 1),
        )

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``decoder`` and ``auxiliary`` to scores (B, K, h, w), each at its features' size.

        Raises:
            InputError: No features under ``auxiliary``, or of other channels.
        """
        if "auxiliary" not in features:
            raise InputError(
                f"the network gives {', '.join(features)}, but AuxiliaryHead needs 'auxiliary'; "
                "choose a network such as PSPNet, or ClassificationHead"
            )
        early = features["auxiliary"]
        if early.shape[1] != self.auxiliary_channels:
            raise InputError(
                f"the network's 'auxiliary' has {early.shape[1]} channels, but auxiliary_channels "
                f"is {self.auxiliary_channels}; set auxiliary_channels: {early.shape[1]}"
            )
        return {
            "logits": self.classifier(features["decoder"]),
            "auxiliary": self.auxiliary(early),
        }
