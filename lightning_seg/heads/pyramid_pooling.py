"""A classifier that sees the image around every pixel."""

from torch import Tensor, nn

from lightning_seg.heads.head import Head
from lightning_seg.networks import PSPPooling


class PyramidPoolingHead(Head):
    """Pyramid pooling and a classifier: ResUNet-a's single-task ending.

    Layers 30 and 31 of Diakogiannis et al. (2020), table 1, with the ReLU between them that the
    authors' code has.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        channels: Channels of the pooled features, at least 4.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 32) -> None:
        super().__init__(in_channels, num_classes)
        self.pooling = nn.Sequential(PSPPooling(in_channels, channels), nn.ReLU())
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``decoder`` (B, C, h, w) to ``logits`` (B, K, h, w)."""
        return {"logits": self.classifier(self.pooling(features["decoder"]))}
