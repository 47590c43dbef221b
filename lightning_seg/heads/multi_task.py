"""Multi-task heads of ResUNet-a: segmentation, boundaries, distances and colours."""

import math
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError, check_choice
from lightning_seg.heads.head import Head
from lightning_seg.networks import ConvNorm, PSPPooling
from lightning_seg.targets import HSV, ClassBoundary, PatchDistance


class MultiTaskHead(Head):
    """Four independent tasks (Diakogiannis et al. 2020, section 3.1.2, "mtsk").

    Segmentation and class boundaries are predicted from the features after pyramid pooling.
    Distances inside each class and the colours of the image (hue, saturation, value) are predicted
    from the unpooled features, because pooling leaves large square artefacts in such maps.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2.
        channels: Channels within the head, at least 4. The paper uses those of the network at full
            resolution.
        distance_activation: ``sigmoid``, or ``softmax`` over the classes as in the authors' code,
            although the target distances do not sum to 1.
        boundary_width: Number of dilations of the one-pixel boundaries, see `ClassBoundary`.
        void: Treatment of void in distances, see `PatchDistance`.
        boundary_prior: Initial value of the predicted boundaries, in (0, 1): the share of pixels on
            a class boundary, .01 to .03 in crops of 256 pixels. Sets the bias of the last
            convolution, as in Lin et al. (2017, section 4.1), so that training does not start far
            above sparse targets. None starts at .5, as in the paper.
        distance_prior: Initial value of the predicted distances, whose targets have a mean of .03
            to .06. A softmax ignores it and starts at 1 / K.

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
        check_choice("distance_activation", distance_activation, Literal["sigmoid", "softmax"])
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
        _initialize_bias("boundary_prior", boundary_prior, self.boundary)
        if distance_activation == "sigmoid":
            _initialize_bias("distance_prior", distance_prior, self.distance)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Map ``decoder`` (B, C, h, w) to four predictions (B, K, h, w); ``color`` has 3 channels.

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
        """Return 3 for ``color``, else K."""
        return 3 if prediction == "color" else self.num_classes

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return ``boundary``, ``distance`` (B, K, H, W) and ``color`` (B, 3, H, W) in [0, 1]."""
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
    """Four tasks, each conditioned on earlier ones (Diakogiannis et al. 2020, fig. 2, "cmtsk").

    Like `MultiTaskHead`, but boundaries are predicted from pooled features and distances, and the
    segmentation from pooled features, boundaries and distances. Gradients flow through all of them.
    """

    conditioned = True


def _convolutions(in_channels: int, channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """Stack ``depth`` 3 x 3 convolutions with batch norm and ReLU, and a 1 x 1 convolution."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [ConvNorm(in_channels, channels, kernel_size=3), nn.ReLU()]
        in_channels = channels
    return nn.Sequential(*layers, nn.Conv2d(in_channels, out_channels, 1))


def _initialize_bias(name: str, prior: float | None, convolutions: nn.Sequential) -> None:
    """Set the last bias to the logit of ``prior``."""
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
