"""The soft Dice loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, ratio
from lightning_seg.losses.class_choice import check_classes
from lightning_seg.losses.overlap import (
    Absent,
    Average,
    Preset,
    mean_cost,
    overlap,
    overlap_arguments,
)
from lightning_seg.losses.reduction import Reduction


@autocast_off
def dice(
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
    """``1 - (s + 2 sum yp) / (s + sum y + sum p)``, as Gül (2023) defines Dice with s = 1.

    Args:
        logits: (B, K, H, W) floating point, turned into the probabilities p by softmax.
        mask: (B, H, W) int64 with labels 0..K-1 (one-hot: y) or ``ignore_index``.
        average: ``"micro"`` sums over pixels and classes, ``"macro"`` is the mean of the classes'
            own losses.
        smooth: s, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``, sums over the batch.
        absent: Classes without a pixel in the image (or batch) are excluded from the macro mean, or
            count in it as ``"zero"``.
        classes: Labels of the classes that count; by default all.
        preset: What stands for each of the first four that is None: ``"formula"``, the thesis's, is
            micro, 1, by image and exclude; ``"smp"``, what segmentation-models-pytorch computes and
            the thesis's experiments ran, is macro, 0, by batch and zero.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; arguments that
            `DiceLoss` refuses.
    """
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    sums = overlap(logits, mask, average, reduction, classes, ignore_index)
    score = ratio(smooth + 2 * sums.both, smooth + sums.labelled + sums.predicted)
    return mean_cost(score, sums, average, absent)


class DiceLoss(Loss):
    """`dice` of the softmax.

    The micro average is what Gül (2023) writes. With a softmax it is blind to imbalance: it is one
    minus the mean probability of the true class.
    ``preset="smp"`` is the multiclass DiceLoss of segmentation-models-pytorch.

    A binary task of one sigmoid class, the foreground, is that of two classes of which the
    foreground counts, ``classes=[1]``: the softmax of two scores is the sigmoid of their
    difference.

    Args:
        average: ``"micro"`` sums over pixels and classes, ``"macro"`` is the mean of the classes'
            own losses.
        smooth: s, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``, sums over the batch.
        absent: Classes without a pixel in the image (or batch) are excluded from the macro mean, or
            count in it as ``"zero"``.
        classes: Labels of the classes that count; by default all.
        preset: What stands for each of the first four that is None: ``"formula"``, the thesis's, is
            micro, 1, by image and exclude; ``"smp"``, what segmentation-models-pytorch computes and
            the thesis's experiments ran, is macro, 0, by batch and zero.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, ``absent="zero"`` for a micro average,
            classes that are none.
    """

    classes: tuple[int, ...] | None = None  # of losses that were stored before there was a choice

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
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `dice`."""
        return dice(
            logits,
            mask,
            self.average,
            self.smooth,
            self.reduction,
            self.absent,
            self.classes,
            ignore_index=self.ignore_index,
        )
