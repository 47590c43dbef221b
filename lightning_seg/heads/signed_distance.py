"""Signed-distance regression followed by classification."""

from collections.abc import Collection
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.errors import check_choice
from lightning_seg.heads.head import Head
from lightning_seg.losses._by_class import sum_by_class
from lightning_seg.targets import SignedDistance

Clamp = Literal["recoverable", "plain", "distance_loss_only"]


class SignedDistanceHead(Head):
    """Signed-distance cascade of Audebert et al. (2019), section 3.

    A convolution maps the features to K distance maps, clamped to [-1, 1] like their targets. A
    second convolution maps features and distances to the class scores. Without a loss on
    ``distance`` it is the cross-entropy baseline of equal size. With ``classify=False`` it is the
    paper's pure regression, which predicts the class with the largest distance.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2.
        clip: Distance in pixels at which targets saturate; the paper gives no figure.
        void: ``ignore`` measures to valid pixels only; ``background`` treats void as background of
            every class, as in the paper.
        kernel_size: Odd kernel size of both convolutions; the paper gives none for the second.
        clamp: Gradients that pass where a distance is saturated, outside [-1, 1]. ``"plain"``, the
            paper's, passes none: a distance saturated on the wrong side never recovers, and a
            class whose whole map saturates is lost. ``"recoverable"`` passes gradients that lead
            back into [-1, 1], both of the distance loss and, through the classifier, of the class
            scores; the latter also pull correctly saturated distances back.
            ``"distance_loss_only"`` passes only those of the distance loss.
        classify: Compute class scores from features and distances. If False they are the distances
            before the clamp, which have the same argmax.
        recoverable: Old form of ``clamp``, which it overrides: True is ``"recoverable"``, False is
            ``"plain"``.

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
        """Return ``logits`` and ``distance`` in [-1, 1], both (B, K, h, w), of ``decoder``."""
        x, classifier = features["decoder"], self.classifier
        if classifier is None:
            unclamped = self.distance(x)
            return {"logits": unclamped, "distance": self._clamped(unclamped)}
        # One convolution over the features for distances and scores, instead of one for distances
        # and one over the concatenation of features and distances: the same function, but faster.
        # Hooks of both modules are not called.
        of_features, of_distance = classifier.weight.split([self.in_channels, self.num_classes], 1)
        weights = torch.cat([self.distance.weight, of_features])
        biases = torch.cat([cast(Tensor, self.distance.bias), cast(Tensor, classifier.bias)])
        unclamped, scores = F.conv2d(x, weights, biases, padding="same").chunk(2, dim=1)
        distance = self._clamped(unclamped)
        seen = F.hardtanh(unclamped) if self.clamp == "distance_loss_only" else distance
        return {
            "logits": scores + F.conv2d(seen, of_distance, padding="same"),
            "distance": distance,
        }

    def _clamped(self, distance: Tensor) -> Tensor:
        return F.hardtanh(distance) if self.clamp == "plain" else recoverable_clamp(distance)

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return ``distance`` (B, K, H, W): signed distances divided by ``clip``, in [-1, 1]."""
        del image
        return {"distance": self.target(mask, self.num_classes)} if "distance" in wanted else {}

    def statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Return statistics of the predicted distances of a batch.

        ``distance_stuck`` is the share of distances saturated on the wrong side of the boundary.
        ``positive/0`` to ``positive/K-1`` are the shares of the pixels of each class whose distance
        is predicted as inside; NaN without such pixels. If one stays at 0 the channel has learnt to
        predict its class nowhere.
        """
        if "distance" not in targets:
            return {}
        distance, target = predictions["distance"], targets["distance"]
        valid = mask != self.target.ignore_index
        stuck = (distance.abs() >= 1) & (distance * target < 0) & valid.unsqueeze(1)
        shares = {"distance_stuck": stuck.sum() / (valid.sum() * self.num_classes).clamp(min=1)}
        labels = mask.masked_fill(~valid, 0)
        own = distance.gather(1, labels.unsqueeze(1)).squeeze(1)
        inside, pixels = (
            sum_by_class(counted.float(), labels, self.num_classes).sum(dim=0)
            for counted in ((own > 0) & valid, valid)
        )
        positive = inside / torch.where(pixels > 0, pixels, torch.nan)
        return shares | {f"positive/{label}": share for label, share in enumerate(positive)}


def recoverable_clamp(x: Tensor) -> Tensor:
    """Clamp ``x`` to [-1, 1], like `torch.nn.functional.hardtanh`.

    Gradients pass inside [-1, 1]. Unlike with hardtanh they also pass outside if a descent step
    leads back towards [-1, 1]; gradients that lead farther out become 0.
    """
    return _RecoverableClamp.apply(x)


class _RecoverableClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        clamped = x.clamp(-1, 1)
        ctx.save_for_backward(clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (clamped,) = ctx.saved_tensors
        outwards = clamped.trunc().mul_(gradient)  # negative if so, 0 inside
        return torch.where(outwards < 0, 0.0, gradient)
