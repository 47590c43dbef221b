"""Base class of the heads."""

from collections.abc import Collection
from typing import Protocol

from torch import Tensor, nn

from lightning_seg.errors import InputError


class Target(Protocol):
    """A target object of `lightning_seg.targets`."""

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""


class Head(nn.Module):
    """Maps a network's features to named predictions.

    ``forward`` returns a dict with ``logits`` (B, K, h, w) and, in subclasses, regressed maps such
    as ``distance``. Regressed maps are activated and in the units of their target, so a loss can
    compare the two directly.

    Args:
        in_channels: Channels of the feature ``decoder``.
        num_classes: K, at least 2 (a binary task is two classes).

    Attributes:
        predictions: Names of all predictions, to which the losses of the task refer.
        scores: Names of the predictions that are class scores.
        target_of: Target object of each regressed prediction; its ``key`` identifies maps in a
            batch.
    """

    predictions: tuple[str, ...] = ("logits",)
    scores: tuple[str, ...] = ("logits",)

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise InputError(
                f"num_classes is {num_classes}, but a head needs at least 2: "
                "a binary task is two classes, background and foreground"
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.target_of: dict[str, Target] = {}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Map features (B, C, h, w) by name to predictions (B, K, h, w) by name."""
        raise NotImplementedError

    def channels_of(self, prediction: str) -> int:
        """Return the number of channels of a prediction, by default K."""
        del prediction
        return self.num_classes

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return the targets of the wanted regressed predictions, on the device of the batch.

        Args:
            image: (B, C, H, W) in [0, 1].
            mask: (B, H, W) int64.
            wanted: Names of regressed predictions.

        Returns:
            Maps (B, C, H, W) by name.
        """
        del image, mask, wanted
        return {}

    def statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Return scalars to log in training, by name; none by default."""
        del predictions, targets, mask
        return {}
