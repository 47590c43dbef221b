"""A classifier beside the edges that the network itself predicts."""

from collections.abc import Collection

from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head
from lightning_seg.targets import SemanticEdges


class EdgeHead(Head):
    """A classifier, and the edges between classes that `GSCNN` predicts.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        kernel_size: Odd side of the classifier.
    """

    predictions = ("logits", "edge")

    def __init__(self, in_channels: int, num_classes: int, kernel_size: int = 1) -> None:
        super().__init__(in_channels, num_classes)
        self.target = SemanticEdges()
        self.target_of = {"edge": self.target}
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size, padding="same")

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``decoder`` to ``logits`` (B, K, h, w), ``edge`` to probabilities (B, 1, H, W), float32.

        Raises:
            InputError: No features under ``edge``.
        """
        if "edge" not in features:
            raise InputError(
                f"the network gives {', '.join(features)}, but EdgeHead needs 'edge', the logits "
                "of edges; choose the network GSCNN, or ClassificationHead"
            )
        # In half precision a probability would soon be 0 or 1, and its gradient lost.
        return {
            "logits": self.classifier(features["decoder"]),
            "edge": features["edge"].float().sigmoid(),
        }

    def channels_of(self, prediction: str) -> int:
        """K, but one of ``edge``."""
        return 1 if prediction == "edge" else self.num_classes

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """``edge``: 1 where a pixel has a neighbour of another class, (B, 1, H, W) float32."""
        del image
        return {"edge": self.target(mask, self.num_classes)} if "edge" in wanted else {}
