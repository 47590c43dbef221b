"""Overlap of predicted probabilities and labels, for Dice and Jaccard."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_seg.losses._class_choice import check_classes, chosen
from lightning_seg.losses._probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses._reduction import Reduction, pooled
from lightning_seg.losses.base import check_choice, check_number, mean_where

Average = Literal["micro", "macro"]
Absent = Literal["exclude", "zero"]
Preset = Literal["formula", "smp"]


class OverlapArguments(NamedTuple):
    """Options that Dice and Jaccard share."""

    average: Average
    smooth: float
    reduction: Reduction
    absent: Absent


PRESETS: dict[str, OverlapArguments] = {
    "formula": OverlapArguments("micro", 1.0, "image", "exclude"),
    "smp": OverlapArguments("macro", 0.0, "batch", "zero"),
}


def overlap_arguments(
    preset: Preset,
    average: Average | None,
    smooth: float | None,
    reduction: Reduction | None,
    absent: Absent | None,
    classes: Sequence[int] | None,
) -> OverlapArguments:
    """Return the arguments, with the values of the preset in place of None.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, ``absent="zero"`` with the micro
            average, which has no absent classes; invalid classes.
    """
    check_choice("preset", preset, Preset)
    usual = PRESETS[preset]
    average = usual.average if average is None else average
    if absent is None:
        absent = "exclude" if average == "micro" else usual.absent
    arguments = OverlapArguments(
        average,
        usual.smooth if smooth is None else smooth,
        usual.reduction if reduction is None else reduction,
        absent,
    )
    check_choice("average", arguments.average, Average)
    check_choice("reduction", arguments.reduction, Reduction)
    check_choice("absent", arguments.absent, Absent)
    check_number("smooth", arguments.smooth)
    check_classes(classes)
    if absent == "zero" and average == "micro":
        raise ValueError(
            "absent='zero' needs average='macro': the micro average sums over all classes at once, "
            "absent ones too"
        )
    return arguments


class Overlap(NamedTuple):
    """Sums over the valid pixels, (images, classes) each; one row for a pooled batch.

    The micro average has one column, the sums over all classes. ``counts`` (images,) bool marks the
    images with a valid pixel.
    """

    both: Tensor
    predicted: Tensor
    labelled: Tensor
    counts: Tensor


def overlap(
    logits: Tensor,
    mask: Tensor,
    average: Average,
    reduction: Reduction,
    classes: Sequence[int] | None,
    ignore_index: int,
) -> Overlap:
    """Sum ``y p``, ``p`` and ``y`` with probabilities p and one-hot labels y.

    Raises:
        ValueError: Mismatched shapes; a single class; classes outside 0..K-1.
    """
    valid = mask != ignore_index
    counts = valid.flatten(1).any(dim=1)
    if average == "micro" and classes is None:
        # Probabilities and labels of a pixel both sum to 1: only the true class is needed.
        own = (-true_class_nll(logits, mask, ignore_index)).exp() * valid
        pixels = valid.sum(dim=(1, 2)).to(own.dtype)
        sums = [x.unsqueeze(1) for x in (own.sum(dim=(1, 2)), pixels, pixels)]
    else:
        probabilities, labels = masked_probabilities(logits, mask, ignore_index)
        check_classes(classes, logits.shape[1])
        probabilities, labels = chosen(probabilities, classes), chosen(labels, classes)
        both = torch.where(labels, probabilities, 0.0)
        sums = [x.sum(dim=(2, 3)).to(both.dtype) for x in (both, probabilities, labels)]
        if average == "micro":
            sums = [x.sum(dim=1, keepdim=True) for x in sums]
    if reduction == "batch":
        counts = counts.any(dim=0, keepdim=True)
    both, predicted, labelled = (pooled(x, reduction) for x in sums)
    return Overlap(both, predicted, labelled, counts)


def mean_cost(score: Tensor, sums: Overlap, average: Average, absent: Absent) -> Tensor:
    """Mean of ``1 - score`` (images, classes) over classes, then over images with valid pixels."""
    if average == "micro":
        return mean_where((1 - score).squeeze(1), sums.counts)
    present = sums.labelled > 0
    cost = torch.where(present, 1 - score, 0.0).sum(dim=1)
    if absent == "zero":
        return mean_where(cost / score.shape[1], sums.counts)
    return mean_where(cost / present.sum(dim=1).clamp(min=1), present.any(dim=1))
