"""Edges predicted by the network itself."""

from collections.abc import Collection

from torch import Tensor

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head
from lightning_seg.networks import Network
from lightning_seg.targets import SemanticEdges


class EdgeHead(Head):
    """Edges between classes, predicted by the shape stream of `GSCNN`.

    Args:
        network: Network whose feature ``edge`` holds edge logits.
        num_classes: K, at least 2.

    Raises:
        InputError: The network has no feature ``edge``.
    """

    predictions = ("edge",)
    scores = ()

    def __init__(self, network: Network, num_classes: int) -> None:
        if network.edge_channels == 0:
            raise InputError(
                f"{type(network).__name__} has no feature 'edge' for an EdgeHead; choose the "
                "network GSCNN, or leave it out (model.auxiliary: null)"
            )
        super().__init__(network.edge_channels, num_classes)
        self.target = SemanticEdges()
        self.target_of = {"edge": self.target}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return edge probabilities (B, 1, H, W), float32, of the feature ``edge``."""
        # Half precision would round probabilities to 0 or 1 and lose their gradient.
        return {"edge": features["edge"].float().sigmoid()}

    def channels_of(self, prediction: str) -> int:
        """Return 1."""
        del prediction
        return 1

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return ``edge`` (B, 1, H, W) float32, 1 next to another class."""
        del image
        return {"edge": self.target(mask, self.num_classes)} if "edge" in wanted else {}
