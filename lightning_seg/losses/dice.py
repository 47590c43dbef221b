"""The soft Dice loss."""

from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, ratio
from lightning_seg.losses.overlap import (
    Absent,
    Average,
    check_overlap_arguments,
    mean_cost,
    overlap,
)
from lightning_seg.losses.reduction import Reduction


@autocast_off
def dice(
    logits: Tensor,
    mask: Tensor,
    average: Average = "micro",
    smooth: float = 1.0,
    reduction: Reduction = "image",
    absent: Absent = "exclude",
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
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; arguments that
            `DiceLoss` refuses.
    """
    check_overlap_arguments(average, smooth, reduction, absent)
    sums = overlap(logits, mask, average, reduction, ignore_index)
    score = ratio(smooth + 2 * sums.both, smooth + sums.labelled + sums.predicted)
    return mean_cost(score, sums.labelled, absent)


class DiceLoss(Loss):
    """`dice` of the softmax.

    The micro average is what Gül (2023) writes. With a softmax it is blind to imbalance: it is one
    minus the mean probability of the true class. What segmentation-models-pytorch calls multiclass
    DiceLoss, and the thesis's experiments ran, is
    ``average="macro", smooth=0, reduction="batch", absent="zero"``.

    Args:
        average: ``"micro"``, over pixels and classes at once, or ``"macro"``, class by class.
        smooth: Added to both sides of the quotient, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``, sums over the batch.
        absent: Classes without a pixel in the image (or batch) are excluded from the macro mean, or
            count in it as ``"zero"``.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, ``absent="zero"`` for a micro average.
    """

    def __init__(
        self,
        average: Average = "micro",
        smooth: float = 1.0,
        reduction: Reduction = "image",
        absent: Absent = "exclude",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_overlap_arguments(average, smooth, reduction, absent)
        self.average: Average = average
        self.smooth = smooth
        self.reduction: Reduction = reduction
        self.absent: Absent = absent
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `dice`."""
        return dice(
            logits,
            mask,
            self.average,
            self.smooth,
            self.reduction,
            self.absent,
            self.ignore_index,
        )
