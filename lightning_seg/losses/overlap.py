"""How much of the predicted mass and of the labels' lies on each other, for Dice and Jaccard."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_seg.losses.base import check_choice, check_number, mean_where
from lightning_seg.losses.probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.reduction import Reduction, pooled

Average = Literal["micro", "macro"]
Absent = Literal["exclude", "zero"]


class Overlap(NamedTuple):
    """Sums over the valid pixels, (images, classes) each; one row for a pooled batch.

    With the micro average there is one column, the sums over all classes.
    """

    both: Tensor
    predicted: Tensor
    labelled: Tensor


def overlap(
    logits: Tensor, mask: Tensor, average: Average, reduction: Reduction, ignore_index: int
) -> Overlap:
    """The sums of ``y p``, ``p`` and ``y``, with p the probabilities and y the one-hot labels."""
    if average == "micro":
        # The probabilities of a pixel sum to 1, as its labels do: only the true class's is needed.
        valid = mask != ignore_index
        own = (-true_class_nll(logits, mask, ignore_index)).exp() * valid
        pixels = valid.sum(dim=(1, 2)).to(own.dtype)
        sums = [x.unsqueeze(1) for x in (own.sum(dim=(1, 2)), pixels, pixels)]
    else:
        probabilities, labels = masked_probabilities(logits, mask, ignore_index)
        both = torch.where(labels, probabilities, 0.0)
        sums = [x.sum(dim=(2, 3)).to(both.dtype) for x in (both, probabilities, labels)]
    return Overlap(*(pooled(x, reduction) for x in sums))


def mean_cost(score: Tensor, labelled: Tensor, absent: Absent) -> Tensor:
    """Mean of ``1 - score`` (images, classes) over classes, then over images with a valid pixel."""
    present = labelled > 0
    cost = torch.where(present, 1 - score, 0.0).sum(dim=1)
    classes = score.shape[1] if absent == "zero" else present.sum(dim=1).clamp(min=1)
    return mean_where(cost / classes, present.any(dim=1))


def check_overlap_arguments(
    average: str, smooth: float, reduction: str, absent: str = "exclude"
) -> None:
    """Refuses what Dice and Jaccard do not know.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, or ``absent="zero"`` with the micro
            average, which knows no absent class.
    """
    check_choice("average", average, Average)
    check_choice("reduction", reduction, Reduction)
    check_choice("absent", absent, Absent)
    check_number("smooth", smooth)
    if absent == "zero" and average == "micro":
        raise ValueError(
            "absent='zero' needs average='macro': the micro average sums over all classes at once, "
            "absent ones too"
        )
