"""Convolutional classifier."""

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head


class ClassificationHead(Head):
    """Classifier with one convolution from features to class scores.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2.
        kernel_size: Odd kernel size of the convolution.
        sigmoid: Compute a single channel z for two classes, whose scores are [0, z]. Their softmax
            is [1 - sigmoid(z), sigmoid(z)], so cross entropy is the binary cross entropy of z, and
            losses, metrics and predictions are those of two classes.

    Raises:
        InputError: ``sigmoid`` with more than two classes.
    """

    def __init__(
        self, in_channels: int, num_classes: int, kernel_size: int = 3, sigmoid: bool = False
    ) -> None:
        super().__init__(in_channels, num_classes)
        if sigmoid and num_classes != 2:
            raise InputError(
                f"sigmoid is True, but there are {num_classes} classes, and one channel tells two "
                "apart; set sigmoid to false (model.head.sigmoid), and for several labels per "
                "pixel data.multi_label to true"
            )
        self.sigmoid = sigmoid
        channels = 1 if sigmoid else num_classes
        self.classifier = nn.Conv2d(in_channels, channels, kernel_size, padding="same")

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``logits`` (B, K, h, w) of the feature ``decoder`` (B, C, h, w)."""
        scores = self.classifier(features["decoder"])
        if scores.shape[1] < self.num_classes:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return {"logits": scores}
