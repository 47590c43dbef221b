"""What every head is: features in, named predictions out, and the target of each."""

from collections.abc import Collection
from typing import Protocol

from torch import Tensor, nn

from lightning_seg.errors import InputError


class Target(Protocol):
    """A target object of `lightning_seg.targets`."""

    @property
    def key(self) -> str:
        """Name and parameters."""


class Head(nn.Module):
    """Maps a network's features to named predictions.

    ``forward`` returns a dict with ``logits`` (B, K, h, w) and, in subclasses, regressed maps such
    as ``distance``. All but class scores are activated and in their target's units, so a loss can
    compare the two as they are.

    Args:
        in_channels: Channels of the features under ``decoder``.
        num_classes: K, at least 2 (a binary task is two classes).

    Attributes:
        predictions: Names of the predictions, the keys of the task's ``losses``.
        scores: Names of those that are class scores, ``logits`` among them; an auxiliary
            classifier's may be further ones.
        target_of: The target object of each regressed prediction. A batch may bring the map under
            ``targets``, by the key of this object.
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
        """Features (B, C, h, w) by name to predictions (B, K, h, w) by name."""
        raise NotImplementedError

    def channels_of(self, prediction: str) -> int:
        """Channels of a prediction, by default K."""
        del prediction
        return self.num_classes

    def targets(self, image: Tensor, mask: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """The target of each wanted regressed prediction, on the batch's device.

        Args:
            image: (B, C, H, W) in [0, 1].
            mask: (B, H, W) int64.
            wanted: Names out of ``predictions`` without ``scores``.

        Returns:
            Maps (B, C, H, W) by name.
        """
        del image, mask, wanted
        return {}

    def statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Scalars worth watching in training, by name; none by default."""
        del predictions, targets, mask
        return {}
