"""Dice and the focal loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses.base import Loss
from lightning_seg.losses.class_choice import check_classes
from lightning_seg.losses.dice import dice
from lightning_seg.losses.focal import Activation, focal, focal_arguments
from lightning_seg.losses.overlap import Absent, Average, Preset, overlap_arguments
from lightning_seg.losses.reduction import Reduction


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
    """`dice` plus `focal`, the Dice & Focal loss of Gül (2023); see them for the arguments."""
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    region = dice(
        logits, mask, average, smooth, reduction, absent, classes, ignore_index=ignore_index
    )
    return region + focal(logits, mask, gamma, activation, reduction, preset, ignore_index)


class DiceFocalLoss(Loss):
    """Dice plus focal loss, as Gül (2023) adds them: both with weight 1.

    For other weights name `DiceLoss` and `FocalLoss` side by side. A binary task of one sigmoid
    class is that of two with ``classes=[1], activation="softmax"``: the softmax focal loss of two
    classes is that of the one.

    Args:
        average: Dice ``"micro"``, over pixels and classes at once, or ``"macro"``, class by class.
        gamma: The focal loss's exponent, 0 or more.
        smooth: Added to both sides of Dice's quotient, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``.
        absent: Classes without a pixel are excluded from the macro mean, or count in it as
            ``"zero"``.
        activation: The focal loss's, ``"softmax"``, or ``"sigmoid"`` for each class against the
            rest.
        classes: Labels of the classes that count in Dice; by default all.
        preset: What stands for each choice that is None, see `dice` and `focal`: ``"formula"``, the
            thesis's, or ``"smp"``, that of segmentation-models-pytorch.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``gamma`` or ``smooth``, classes that are none.
    """

    absent: Absent = "exclude"  # of losses that were stored before there were these choices
    activation: Activation = "softmax"
    classes: tuple[int, ...] | None = None

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
        super().__init__()
        self.average, self.smooth, self.reduction, self.absent = overlap_arguments(
            preset, average, smooth, reduction, absent, classes
        )
        self.activation, _ = focal_arguments(gamma, activation, self.reduction, preset)
        self.gamma = gamma
        self.classes = None if classes is None else tuple(classes)
        self.ignore_index = ignore_index

    def check_channels(self, channels: int) -> None:
        """Refuses chosen classes that are none of so many."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `dice_focal`."""
        return dice_focal(
            logits,
            mask,
            self.average,
            self.gamma,
            self.smooth,
            self.reduction,
            self.absent,
            self.activation,
            self.classes,
            ignore_index=self.ignore_index,
        )
