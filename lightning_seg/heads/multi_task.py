"""Segmentation, boundaries, distances and colours at once: ResUNet-a's multi-task endings."""

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads.head import Head
from lightning_seg.networks import ConvNorm, PSPPooling
from lightning_seg.targets import HSV, ClassBoundary, PatchDistance


class MultiTaskHead(Head):
    """Four tasks side by side (Diakogiannis et al. 2020, section 3.1.2, "mtsk").

    The segmentation and the boundary of every class are predicted from the features after pyramid
    pooling; the distances inside every class and the image's colours, hue, saturation and value,
    from the features as they are, because pooling leaves large squares in such maps.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2.
        channels: Channels within the head, at least 4. The paper has as many as the network at
            full resolution.
        distance_activation: ``sigmoid``, or ``softmax`` over the classes as in the authors' code;
            the distances that it is to learn do not sum to 1.
        boundary_width: How often the one-pixel boundaries are grown, see `ClassBoundary`.
        void: Whether distances are measured past void pixels, see `PatchDistance`.
    """

    predictions = ("logits", "boundary", "distance", "color")
    conditioned = False

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 32,
        distance_activation: Literal["sigmoid", "softmax"] = "sigmoid",
        boundary_width: int = 1,
        void: Literal["ignore", "background"] = "ignore",
    ) -> None:
        super().__init__(in_channels, num_classes)
        if distance_activation not in ("sigmoid", "softmax"):
            raise InputError(
                f"distance_activation is {distance_activation!r}, but must be 'sigmoid' or "
                "'softmax'"
            )
        self.distance_activation = distance_activation
        self._boundary = ClassBoundary(width=boundary_width)
        self._distance = PatchDistance(void=void)
        self._color = HSV()
        self.target_of = {
            "boundary": self._boundary,
            "distance": self._distance,
            "color": self._color,
        }
        seen = num_classes if self.conditioned else 0
        self.pooling = nn.Sequential(PSPPooling(in_channels, channels), nn.ReLU())
        self.distance = _convolutions(in_channels, channels, num_classes, depth=2)
        self.boundary = _convolutions(channels + seen, channels, num_classes, depth=1)
        self.classifier = _convolutions(channels + 2 * seen, channels, num_classes, depth=2)
        self.color = nn.Conv2d(in_channels, 3, 1)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``decoder`` (B, C, h, w) to four maps (B, K, h, w), ``color`` having 3 channels.

        All but ``logits`` are in [0, 1].
        """
        x = features["decoder"]
        pooled = self.pooling(x)
        distance = self._activated(self.distance(x))
        seen = [distance] if self.conditioned else []
        boundary = self.boundary(torch.cat([pooled, *seen], dim=1)).sigmoid()
        seen = [boundary, distance] if self.conditioned else []
        return {
            "logits": self.classifier(torch.cat([pooled, *seen], dim=1)),
            "boundary": boundary,
            "distance": distance,
            "color": self.color(x).sigmoid(),
        }

    def channels_of(self, prediction: str) -> int:
        """K, but three of ``color``."""
        return 3 if prediction == "color" else self.num_classes

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """``boundary`` and ``distance`` (B, K, H, W), ``color`` (B, 3, H, W), all in [0, 1]."""
        targets = {}
        if "boundary" in wanted:
            targets["boundary"] = self._boundary(mask, self.num_classes)
        if "distance" in wanted:
            targets["distance"] = self._distance(mask, self.num_classes)
        if "color" in wanted:
            targets["color"] = self._color(image)
        return targets

    def _activated(self, distance: Tensor) -> Tensor:
        if self.distance_activation == "softmax":
            return distance.softmax(dim=1)
        return distance.sigmoid()


class ConditionedMultiTaskHead(MultiTaskHead):
    """Four tasks, each seeing those before it (Diakogiannis et al. 2020, figure 2, "cmtsk").

    As `MultiTaskHead`, but boundaries are predicted from pooled features and distances, and the
    segmentation from pooled features, boundaries and distances. Gradients flow back through all.
    """

    conditioned = True


def _convolutions(in_channels: int, channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """``depth`` normed 3 x 3 convolutions with ReLU, and a 1 x 1 convolution."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [ConvNorm(in_channels, channels, kernel_size=3), nn.ReLU()]
        in_channels = channels
    return nn.Sequential(*layers, nn.Conv2d(in_channels, out_channels, 1))
