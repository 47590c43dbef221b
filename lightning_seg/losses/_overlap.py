"""Overlap of predicted probabilities and labels, for Dice and Jaccard."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._by_class import check_classes, chosen
from lightning_seg.losses._probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.base import Loss, Reduction, check_number, mean_where, pooled

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
    """Return checked arguments, with the values of the preset in place of None."""
    check_choice("preset", preset, Preset)
    usual = PRESETS[preset]
    average = usual.average if average is None else average
    if absent is None:
        absent = "exclude" if average == "micro" else usual.absent
    smooth = usual.smooth if smooth is None else smooth
    reduction = usual.reduction if reduction is None else reduction
    check_choice("average", average, Average)
    check_choice("reduction", reduction, Reduction)
    check_choice("absent", absent, Absent)
    check_number("smooth", smooth)
    check_classes(classes)
    if absent == "zero" and average == "micro":
        raise ValueError(
            "absent='zero' needs average='macro': the micro average sums over all classes at once, "
            "absent ones too"
        )
    return OverlapArguments(average, smooth, reduction, absent)


class OverlapLoss(Loss):
    """Base of the losses with a term of overlap, Dice or Jaccard.

    With two classes, ``classes=[1]`` gives the loss of a binary task with one sigmoid class: the
    softmax of two scores is the sigmoid of their difference.

    Args:
        average: ``"micro"`` sums over pixels and classes; ``"macro"`` averages the losses of the
            classes.
        smooth: s, added to both sides of the quotient, 0 or more.
        reduction: ``"image"`` averages the losses of the images; ``"batch"`` sums over the batch.
        absent: Classes without a pixel in the image (or batch): ``"exclude"`` leaves them out of
            the macro mean, ``"zero"`` gives them a loss of 0.
        classes: Labels of the classes to include; all by default.
        preset: Values for whichever of the first four options is None. ``"formula"`` follows Gül
            (2023): micro, 1, image, exclude. ``"smp"`` follows segmentation-models-pytorch, which
            the thesis's experiments used: macro, 0, batch, zero.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: An unknown choice, a negative ``smooth``, ``absent="zero"`` with the micro
            average, invalid classes.
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

    @property
    def options(self) -> dict[str, Any]:
        """Options of the overlap, as keyword arguments of `dice` or `jaccard`."""
        names = ("average", "smooth", "reduction", "absent", "classes", "ignore_index")
        return {name: getattr(self, name) for name in names}

    def check_channels(self, channels: int) -> None:
        """Raise if ``classes`` names a label outside 0..channels-1."""
        check_classes(self.classes, channels)


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
    """Sum ``y p``, ``p`` and ``y`` with probabilities p and one-hot labels y."""
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
