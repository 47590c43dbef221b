"""Segmentation, boundaries, distances and colours at once: ResUNet-a's multi-task endings."""

import math
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
        boundary_prior: What the predicted boundaries are about before training, in (0, 1): the
            share of pixels on a class's boundary, .01 to .03 in crops of 256 pixels. As in Lin et
            al. (2017, section 4.1) the last convolution's bias starts there, so that sparse maps
            need not be walked down to. None starts at .5, as the paper does.
        distance_prior: The same of the distances, whose targets' mean is .03 to .06. A softmax, the
            same for any bias, starts at 1 / K.

    Raises:
        InputError: An unknown activation, or a prior outside (0, 1).
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
        boundary_prior: float | None = 0.02,
        distance_prior: float | None = 0.05,
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
        _start_at("boundary_prior", boundary_prior, self.boundary)
        if distance_activation == "sigmoid":
            _start_at("distance_prior", distance_prior, self.distance)

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


def _start_at(name: str, prior: float | None, convolutions: nn.Sequential) -> None:
    """Sets the last bias to the logit of ``prior``."""
    if prior is None:
        return
    if not 0 < prior < 1:
        raise InputError(
            f"{name} is {prior}, but must be in (0, 1), about the mean of the maps to predict, or "
            "null to start at .5"
        )
    last = convolutions[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.constant_(last.bias, math.log(prior / (1 - prior)))
