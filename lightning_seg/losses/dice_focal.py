"""Sum of Dice and the focal loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._overlap import Absent, Average, OverlapLoss, Preset, overlap_arguments
from lightning_seg.losses.base import Reduction
from lightning_seg.losses.dice import dice
from lightning_seg.losses.focal import Activation, focal, focal_arguments


def dice_focal(
    logits: Tensor,
    mask: Tensor,
    average: Average | None = None,
    gamma: float = 2.0,
    smooth: float | None = None,
    reduction: Reduction | None = None,
    absent: Absent | None = None,
    activation: Activation | None = None,
    classes: Sequence[int] | None = None,
    preset: Preset = "formula",
    ignore_index: int = 255,
) -> Tensor:
    """`dice` plus `focal`, the Dice & Focal loss of Gül (2023); see there for the arguments."""
    options = overlap_arguments(preset, average, smooth, reduction, absent, classes)
    region = dice(logits, mask, *options, classes, ignore_index=ignore_index)
    return region + focal(logits, mask, gamma, activation, options.reduction, preset, ignore_index)


class DiceFocalLoss(OverlapLoss):
    """Dice plus focal loss, as Gül (2023) adds them: both with weight 1.

    For other weights use `DiceLoss` and `FocalLoss` as two terms. With two classes,
    ``classes=[1], activation="softmax"`` gives the loss of a binary task with one sigmoid class.
    Arguments not listed here are those of `OverlapLoss`; all but ``reduction``, ``preset`` and
    ``ignore_index`` are Dice's.

    Args:
        gamma: Exponent of the focal loss, 0 or more.
        activation: Activation of the focal loss: ``"softmax"``, or ``"sigmoid"`` for each class
            against the rest.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import DiceFocalLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> DiceFocalLoss()(logits, mask)
        tensor(0.6278)
    """

    activation: Activation = "softmax"  # for losses pickled before this option existed

    def __init__(
        self,
        average: Average | None = None,
        gamma: float = 2.0,
        smooth: float | None = None,
        reduction: Reduction | None = None,
        absent: Absent | None = None,
        activation: Activation | None = None,
        classes: Sequence[int] | None = None,
        preset: Preset = "formula",
        ignore_index: int = 255,
    ) -> None:
        super().__init__(average, smooth, reduction, absent, classes, preset, ignore_index)
        self.activation, _ = focal_arguments(gamma, activation, self.reduction, preset)
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `dice_focal`."""
        return dice_focal(
            logits, mask, gamma=self.gamma, activation=self.activation, **self.options
        )
