"""Classifier with pyramid pooling."""

from torch import Tensor, nn

from lightning_seg.heads.head import Head
from lightning_seg.networks import PSPPooling


class PyramidPoolingHead(Head):
    """Pyramid pooling and a classifier, the single-task head of ResUNet-a.

    Layers 30 and 31 of Diakogiannis et al. (2020), table 1, with the ReLU between them from the
    authors' code.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2.
        channels: Channels of the pooled features, at least 4.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 32) -> None:
        super().__init__(in_channels, num_classes)
        self.pooling = nn.Sequential(PSPPooling(in_channels, channels), nn.ReLU())
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``logits`` (B, K, h, w) of the feature ``decoder`` (B, C, h, w)."""
        return {"logits": self.classifier(self.pooling(features["decoder"]))}
