"""The cascade that regresses signed distances and classifies from them."""

from collections.abc import Collection
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.heads.head import Head
from lightning_seg.heads.recoverable_clamp import recoverable_clamp
from lightning_seg.losses._class_sums import sum_by_class
from lightning_seg.losses.base import check_choice
from lightning_seg.targets import SignedDistance

Clamp = Literal["recoverable", "plain", "distance_loss_only"]


class SignedDistanceHead(Head):
    """Signed-distance cascade of Audebert et al. (2019), section 3.

    The features are convolved to K distance maps, clamped to [-1, 1] as their targets are; features
    and distances together are convolved to the class scores. Without a loss
    on ``distance`` it is the cross-entropy baseline of equal size. With ``classify=False`` it is
    the paper's regression alone: the class of the largest distance is predicted.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        clip: Distance in pixels at which targets saturate; the paper gives no figure.
        void: ``ignore`` measures to valid pixels only, ``background`` takes void for background of
            every class, as the paper does.
        kernel_size: Odd side of both convolutions; the paper gives none for the second.
        clamp: Which gradients pass where a distance is saturated, outside [-1, 1]. None with the
            ``"plain"`` clamp, the paper's: a distance saturated on the wrong side never learns
            again, and a class whose whole map saturates is lost. Those that lead back into [-1, 1]
            with ``"recoverable"``, be they the distance loss's or, through the classifier, that of
            the class scores, which pulls rightly saturated distances back, too. Of these the
            distance loss's alone with ``"distance_loss_only"``; there is none without such a loss.
        classify: Whether the class scores are convolved from features and distances. If not they
            are the distances before the clamp, whose order it would not change.
        recoverable: In configurations of before ``clamp`` had three choices, True for
            ``"recoverable"`` and False for ``"plain"``; it goes before ``clamp``.

    Raises:
        ValueError: An unknown clamp.
    """

    predictions = ("logits", "distance")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        clip: float = 10.0,
        void: Literal["ignore", "background"] = "ignore",
        kernel_size: int = 3,
        clamp: Clamp = "recoverable",
        classify: bool = True,
        recoverable: bool | None = None,
    ) -> None:
        super().__init__(in_channels, num_classes)
        if recoverable is not None:
            clamp = "recoverable" if recoverable else "plain"
        check_choice("clamp", clamp, Clamp)
        self.clamp: Clamp = clamp
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
        plain = self.clamp == "plain"
        distance = F.hardtanh(unclamped) if plain else recoverable_clamp(unclamped)
        if self.classifier is None:
            return {"logits": unclamped, "distance": distance}
        seen = F.hardtanh(unclamped) if self.clamp == "distance_loss_only" else distance
        return {"logits": self._classify(self.classifier, x, seen), "distance": distance}

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
        """What a glance at the distances of a batch would tell.

        ``distance_stuck`` is the share of distances saturated on the wrong side of the boundary;
        ``positive/0`` to ``positive/K-1`` are the shares of each class's pixels whose distance to
        its boundary is predicted as inside, NaN without such pixels. Where one stays 0 the channel
        has learnt that its class is nowhere.
        """
        if "distance" not in targets:
            return {}
        distance, target = predictions["distance"], targets["distance"]
        valid = mask != self.target.ignore_index
        stuck = (distance.abs() >= 1) & (distance * target < 0) & valid.unsqueeze(1)
        found = {"distance_stuck": stuck.sum() / (valid.sum() * self.num_classes).clamp(min=1)}
        labels = mask.masked_fill(~valid, 0)
        own = distance.gather(1, labels.unsqueeze(1)).squeeze(1)
        inside, pixels = (
            sum_by_class(counted.float(), labels, self.num_classes).sum(dim=0)
            for counted in ((own > 0) & valid, valid)
        )
        shares = inside / torch.where(pixels > 0, pixels, torch.nan)
        return found | {f"positive/{label}": share for label, share in enumerate(shares)}
