"""Dice and cross entropy."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses.base import Loss
from lightning_seg.losses.class_choice import check_classes
from lightning_seg.losses.cross_entropy import cross_entropy
from lightning_seg.losses.dice import dice
from lightning_seg.losses.overlap import Absent, Average, Preset, overlap_arguments
from lightning_seg.losses.reduction import Reduction


def combo(
    logits: Tensor,
    mask: Tensor,
    average: Average | None = None,
    smooth: float | None = None,
    reduction: Reduction | None = None,
    absent: Absent | None = None,
    classes: Sequence[int] | None = None,
    preset: Preset = "formula",
    ignore_index: int = 255,
) -> Tensor:
    """`dice` plus `cross_entropy`, the Combo loss of Gül (2023); see them for the arguments."""
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    region = dice(
        logits, mask, average, smooth, reduction, absent, classes, ignore_index=ignore_index
    )
    return region + cross_entropy(logits, mask, reduction=reduction, ignore_index=ignore_index)


class ComboLoss(Loss):
    """Dice plus cross entropy, as Gül (2023) defines Combo: both with weight 1.

    The Combo loss of Taghanaki et al. (2019) is another. For other weights name `DiceLoss` and
    `CrossEntropyLoss` side by side. A binary task of one sigmoid class is that of two with
    ``classes=[1]``: the cross entropy of two classes is that of the one.

    Args:
        average: Dice ``"micro"``, over pixels and classes at once, or ``"macro"``, class by class.
        smooth: Added to both sides of Dice's quotient, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``.
        absent: Classes without a pixel are excluded from the macro mean, or count in it as
            ``"zero"``.
        classes: Labels of the classes that count in Dice; by default all.
        preset: What stands for each choice that is None, see `dice`: ``"formula"``, the thesis's,
            or ``"smp"``, that of segmentation-models-pytorch.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, classes that are none.
    """

    absent: Absent = "exclude"  # of losses that were stored before there were these choices
    classes: tuple[int, ...] | None = None

    def __init__(
        self,
        average: Average | None = None,
        smooth: float | None = None,
        reduction: Reduction | None = None,
        absent: Absent | None = None,
        classes: Sequence[int] | None = None,
        preset: Preset = "formula",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.average, self.smooth, self.reduction, self.absent = overlap_arguments(
            preset, average, smooth, reduction, absent, classes
        )
        self.classes = None if classes is None else tuple(classes)
        self.ignore_index = ignore_index

    def check_channels(self, channels: int) -> None:
        """Refuses chosen classes that are none of so many."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `combo`."""
        return combo(
            logits,
            mask,
            self.average,
            self.smooth,
            self.reduction,
            self.absent,
            self.classes,
            ignore_index=self.ignore_index,
        )
