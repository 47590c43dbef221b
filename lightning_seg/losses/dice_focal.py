"""Dice and the focal loss."""

from torch import Tensor

from lightning_seg.losses.base import Loss
from lightning_seg.losses.dice import dice
from lightning_seg.losses.focal import check_focal_arguments, focal
from lightning_seg.losses.overlap import Average, check_overlap_arguments
from lightning_seg.losses.reduction import Reduction


def dice_focal(
    logits: Tensor,
    mask: Tensor,
    average: Average = "micro",
    gamma: float = 2.0,
    smooth: float = 1.0,
    reduction: Reduction = "image",
    ignore_index: int = 255,
) -> Tensor:
    """`dice` plus `focal`, the Dice & Focal loss of Gül (2023); see them for the arguments."""
    region = dice(logits, mask, average, smooth, reduction, ignore_index=ignore_index)
    return region + focal(logits, mask, gamma, reduction=reduction, ignore_index=ignore_index)


class DiceFocalLoss(Loss):
    """Dice plus focal loss, as Gül (2023) adds them: both with weight 1.

    For other weights, or for what segmentation-models-pytorch calls so, list `DiceLoss` and
    `FocalLoss` side by side.

    Args:
        average: Dice ``"micro"``, over pixels and classes at once, or ``"macro"``, class by class.
        gamma: The focal loss's exponent, 0 or more.
        smooth: Added to both sides of Dice's quotient, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``gamma`` or ``smooth``.
    """

    def __init__(
        self,
        average: Average = "micro",
        gamma: float = 2.0,
        smooth: float = 1.0,
        reduction: Reduction = "image",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_overlap_arguments(average, smooth, reduction)
        check_focal_arguments(gamma)
        self.average: Average = average
        self.gamma = gamma
        self.smooth = smooth
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `dice_focal`."""
        return dice_focal(
            logits,
            mask,
            self.average,
            self.gamma,
            self.smooth,
            self.reduction,
            self.ignore_index,
        )
