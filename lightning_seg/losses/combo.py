"""Sum of Dice and cross entropy."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._overlap import Absent, Average, OverlapLoss, Preset, overlap_arguments
from lightning_seg.losses.base import Reduction
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
    options = overlap_arguments(preset, average, smooth, reduction, absent, classes)
    region = dice(logits, mask, *options, classes, ignore_index=ignore_index)
    return region + cross_entropy(
        logits, mask, reduction=options.reduction, ignore_index=ignore_index
    )


class ComboLoss(OverlapLoss):
    """Dice plus cross entropy, as Gül (2023) defines Combo: both with weight 1.

    The Combo loss of Taghanaki et al. (2019) differs. For other weights use `DiceLoss` and
    `CrossEntropyLoss` as two terms. For the options see `OverlapLoss`; all but ``reduction`` are
    Dice's.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import ComboLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> ComboLoss()(logits, mask)
        tensor(1.1477)
    """

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `combo`."""
        return combo(logits, mask, **self.options)
