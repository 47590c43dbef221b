"""Convolutional classifier."""

from torch import Tensor, nn

from lightning_seg.heads.head import Head


class ClassificationHead(Head):
    """Classifier with one convolution from features to class scores.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2.
        kernel_size: Odd kernel size of the convolution.
    """

    def __init__(self, in_channels: int, num_classes: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, num_classes)
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size, padding="same")

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``logits`` (B, K, h, w) of the feature ``decoder`` (B, C, h, w)."""
        return {"logits": self.classifier(features["decoder"])}
