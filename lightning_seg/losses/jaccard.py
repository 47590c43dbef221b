"""Soft Jaccard (IoU) loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._overlap import (
    Absent,
    Average,
    OverlapLoss,
    Preset,
    mean_cost,
    overlap,
    overlap_arguments,
)
from lightning_seg.losses.base import Reduction, loss_function, ratio


@loss_function
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

    p are the softmax probabilities and y the one-hot labels.
    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    Options and errors as in `OverlapLoss`.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    average, smooth, reduction, absent = overlap_arguments(
        preset, average, smooth, reduction, absent, classes
    )
    sums = overlap(logits, mask, average, reduction, classes, ignore_index)
    score = ratio(smooth + sums.both, smooth + sums.labelled + sums.predicted - sums.both)
    return mean_cost(score, sums, average, absent)


class JaccardLoss(OverlapLoss):
    """Soft Jaccard loss of the softmax, see `jaccard` and, for the options, `OverlapLoss`.

    Gül (2023) writes the micro average. With a softmax it does not correct for class imbalance: it
    depends only on the mean probability of the true class. ``preset="smp"`` is the multiclass
    JaccardLoss of segmentation-models-pytorch.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import JaccardLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> JaccardLoss(average="macro")(logits, mask)
        tensor(0.5278)
    """

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `jaccard`."""
        return jaccard(logits, mask, **self.options)
