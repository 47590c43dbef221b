"""Sum of Dice and cross entropy."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._class_choice import check_classes
from lightning_seg.losses._overlap import Absent, Average, Preset, overlap_arguments
from lightning_seg.losses._reduction import Reduction
from lightning_seg.losses.base import Loss
from lightning_seg.losses.cross_entropy import cross_entropy
from lightning_seg.losses.dice import dice


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
    """`dice` plus `cross_entropy`, the Combo loss of Gül (2023); see there for the arguments."""
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    region = dice(
        logits, mask, average, smooth, reduction, absent, classes, ignore_index=ignore_index
    )
    return region + cross_entropy(logits, mask, reduction=reduction, ignore_index=ignore_index)


class ComboLoss(Loss):
    """Dice plus cross entropy, as Gül (2023) defines Combo: both with weight 1.

    The Combo loss of Taghanaki et al. (2019) differs. For other weights use `DiceLoss` and
    `CrossEntropyLoss` as two terms. With two classes, ``classes=[1]`` gives the loss of a binary
    task with one sigmoid class.

    Args:
        average: Dice over pixels and classes at once (``"micro"``) or class by class (``"macro"``).
        smooth: Added to both sides of Dice's quotient, 0 or more.
        reduction: ``"image"`` averages the losses of the images; ``"batch"`` sums over the batch.
        absent: Classes without a pixel: ``"exclude"`` leaves them out of the macro mean, ``"zero"``
            gives them a loss of 0.
        classes: Labels of the classes to include in Dice; all by default.
        preset: Values for the options that are None, see `dice`: ``"formula"`` follows the thesis,
            ``"smp"`` segmentation-models-pytorch.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, invalid classes.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import ComboLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> ComboLoss()(logits, mask)
        tensor(1.1477)
    """

    absent: Absent = "exclude"  # for losses pickled before these options existed
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
        """Raise if ``classes`` names a label outside 0..channels-1."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `combo`."""
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
