"""Soft Jaccard (IoU) loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._class_choice import check_classes
from lightning_seg.losses._overlap import (
    Absent,
    Average,
    Preset,
    mean_cost,
    overlap,
    overlap_arguments,
)
from lightning_seg.losses._reduction import Reduction
from lightning_seg.losses.base import Loss, autocast_off, ratio


@autocast_off
def jaccard(
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
    """``1 - (s + sum yp) / (s + sum (y + p - yp))``, as Gül (2023) defines IoU with s = 1.

    Args:
        logits: (B, K, H, W) floating point, turned into the probabilities p by softmax.
        mask: (B, H, W) int64 with labels 0..K-1 (one-hot: y) or ``ignore_index``.
        average: ``"micro"`` sums over pixels and classes; ``"macro"`` averages the losses of the
            classes.
        smooth: s, 0 or more.
        reduction: ``"image"`` averages the losses of the images; ``"batch"`` sums over the batch.
        absent: Classes without a pixel in the image (or batch): ``"exclude"`` leaves them out of
            the macro mean, ``"zero"`` gives them a loss of 0.
        classes: Labels of the classes to include; all by default.
        preset: Values for whichever of the first four options is None. ``"formula"`` follows the
            thesis: micro, 1, image, exclude. ``"smp"`` follows segmentation-models-pytorch, which
            the thesis's experiments used: macro, 0, batch, zero.
        ignore_index: Label of ignored pixels.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 if no pixel is valid.

    Raises:
        ValueError: Mismatched shapes; a single class; invalid options.
    """
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    sums = overlap(logits, mask, average, reduction, classes, ignore_index)
    score = ratio(smooth + sums.both, smooth + sums.labelled + sums.predicted - sums.both)
    return mean_cost(score, sums, average, absent)


class JaccardLoss(Loss):
    """Soft Jaccard loss of the softmax, see `jaccard`.

    Gül (2023) writes the micro average. With a softmax it does not correct for class imbalance: it
    depends only on the mean probability of the true class. ``preset="smp"`` is the multiclass
    JaccardLoss of segmentation-models-pytorch.

    With two classes, ``classes=[1]`` gives the loss of a binary task with one sigmoid class: the
    softmax of two scores is the sigmoid of their difference.

    Args:
        average: ``"micro"`` sums over pixels and classes; ``"macro"`` averages the losses of the
            classes.
        smooth: s, 0 or more.
        reduction: ``"image"`` averages the losses of the images; ``"batch"`` sums over the batch.
        absent: Classes without a pixel in the image (or batch): ``"exclude"`` leaves them out of
            the macro mean, ``"zero"`` gives them a loss of 0.
        classes: Labels of the classes to include; all by default.
        preset: Values for whichever of the first four options is None. ``"formula"`` follows the
            thesis: micro, 1, image, exclude. ``"smp"`` follows segmentation-models-pytorch, which
            the thesis's experiments used: macro, 0, batch, zero.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, ``absent="zero"`` with the micro
            average, invalid classes.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import JaccardLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> JaccardLoss(average="macro")(logits, mask)
        tensor(0.5278)
    """

    classes: tuple[int, ...] | None = None  # for losses pickled before this option existed

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
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `jaccard`."""
        return jaccard(
            logits,
            mask,
            self.average,
            self.smooth,
            self.reduction,
            self.absent,
            self.classes,
            ignore_index=self.ignore_index,
        )
