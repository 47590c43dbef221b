"""The cascade that regresses signed distances and classifies from them."""

from collections.abc import Collection
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.heads.head import Head
from lightning_seg.heads.recoverable_clamp import recoverable_clamp
from lightning_seg.targets import SignedDistance


class SignedDistanceHead(Head):
    """Signed-distance cascade of Audebert et al. (2019), section 3.

    The features are convolved to K distance maps, clamped to [-1, 1] as their targets are; features
    and distances together are convolved to the class scores. Without a distance loss
    (``distance: []``) it is the cross-entropy baseline of equal size. With ``classify=False`` it is
    the paper's regression alone: the class of the largest distance is predicted.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        clip: Distance in pixels at which targets saturate; the paper gives no figure.
        void: ``ignore`` measures to valid pixels only, ``background`` takes void for background of
            every class, as the paper does.
        kernel_size: Odd side of both convolutions; the paper gives none for the second.
        recoverable: Let gradients through the clamp where they lead back into [-1, 1]. With the
            plain clamp (False, as in the paper) a distance saturated on the wrong side never
            learns again, and a class whose whole map saturates is lost.
        classify: Whether the class scores are convolved from features and distances. If not they
            are the distances before the clamp, whose order it would not change.
    """

    predictions = ("logits", "distance")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        clip: float = 10.0,
        void: Literal["ignore", "background"] = "ignore",
        kernel_size: int = 3,
        recoverable: bool = True,
        classify: bool = True,
    ) -> None:
        super().__init__(in_channels, num_classes)
        self.recoverable = recoverable
        self.target = SignedDistance(clip=clip, void=void)
        self.target_of = {"distance": self.target}
        self.distance = nn.Conv2d(in_channels, num_classes, kernel_size, padding="same")
        self.classifier = (
            nn.Conv2d(in_channels + num_classes, num_classes, kernel_size, padding="same")
            if classify
            else None
        )
        # Start well inside [-1, 1], where every gradient passes.
        nn.init.normal_(self.distance.weight, std=0.01)
        assert self.distance.bias is not None
        nn.init.zeros_(self.distance.bias)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``decoder`` (B, C, h, w) to ``logits`` and ``distance`` in [-1, 1], each (B, K, h, w)."""
        x = features["decoder"]
        unclamped = self.distance(x)
        distance = recoverable_clamp(unclamped) if self.recoverable else F.hardtanh(unclamped)
        if self.classifier is None:
            return {"logits": unclamped, "distance": distance}
        return {"logits": self._classify(self.classifier, x, distance), "distance": distance}

    def _classify(self, classifier: nn.Conv2d, x: Tensor, distance: Tensor) -> Tensor:
        """The convolution of both side by side, without the cost of laying them so."""
        of_features, of_distance = classifier.weight.split([self.in_channels, self.num_classes], 1)
        scores = F.conv2d(x, of_features, classifier.bias, padding="same")
        return scores + F.conv2d(distance, of_distance, padding="same")

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """``distance``: signed distances divided by ``clip``, (B, K, H, W) in [-1, 1]."""
        del image
        return {"distance": self.target(mask, self.num_classes)} if "distance" in wanted else {}

    def statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """``distance_stuck``: share of distances saturated on the wrong side of the boundary."""
        if "distance" not in targets:
            return {}
        distance, target = predictions["distance"], targets["distance"]
        valid = (mask != self.target.ignore_index).unsqueeze(1)
        stuck = (distance.abs() >= 1) & (distance * target < 0) & valid
        return {"distance_stuck": stuck.sum() / (valid.sum() * self.num_classes).clamp(min=1)}
