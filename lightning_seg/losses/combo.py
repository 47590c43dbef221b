"""Dice and cross entropy."""

from torch import Tensor

from lightning_seg.losses.base import Loss
from lightning_seg.losses.cross_entropy import cross_entropy
from lightning_seg.losses.dice import dice
from lightning_seg.losses.overlap import Average, check_overlap_arguments
from lightning_seg.losses.reduction import Reduction


def combo(
    logits: Tensor,
    mask: Tensor,
    average: Average = "micro",
    smooth: float = 1.0,
    reduction: Reduction = "image",
    ignore_index: int = 255,
) -> Tensor:
    """`dice` plus `cross_entropy`, the Combo loss of Gül (2023); see them for the arguments."""
    region = dice(logits, mask, average, smooth, reduction, ignore_index=ignore_index)
    return region + cross_entropy(logits, mask, reduction=reduction, ignore_index=ignore_index)


class ComboLoss(Loss):
    """Dice plus cross entropy, as Gül (2023) defines Combo: both with weight 1.

    The Combo loss of Taghanaki et al. (2019) is another. For other weights, or for the Dice of
    segmentation-models-pytorch, list `DiceLoss` and `CrossEntropyLoss` side by side.

    Args:
        average: Dice ``"micro"``, over pixels and classes at once, or ``"macro"``, class by class.
        smooth: Added to both sides of Dice's quotient, 0 or more.
        reduction: ``"image"``, the mean of the images' losses, or ``"batch"``.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``.
    """

    def __init__(
        self,
        average: Average = "micro",
        smooth: float = 1.0,
        reduction: Reduction = "image",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_overlap_arguments(average, smooth, reduction)
        self.average: Average = average
        self.smooth = smooth
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `combo`."""
        return combo(logits, mask, self.average, self.smooth, self.reduction, self.ignore_index)
