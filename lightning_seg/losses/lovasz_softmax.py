"""The Lovász-softmax loss."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, check_choice, mean_where
from lightning_seg.losses.probabilities import masked_probabilities
from lightning_seg.losses.reduction import Reduction

Classes = Literal["present", "all"]


@autocast_off
def lovasz_softmax(
    logits: Tensor,
    mask: Tensor,
    classes: Classes = "present",
    reduction: Reduction = "batch",
    ignore_index: int = 255,
) -> Tensor:
    """Convex extension of the classes' Jaccard losses (Berman et al. 2018, equations 8 and 11).

    A class's errors, ``1 - p`` on its pixels and ``p`` elsewhere, are sorted in descending order
    and weighted by how much each pixel, were it wrong, would add to the Jaccard loss of all before.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        classes: The mean over the classes ``"present"`` in the labels, or ``"all"``; an absent
            class costs its greatest probability.
        reduction: ``"batch"`` sorts the batch's pixels together, ``"image"`` is the mean of the
            images' losses.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes do not fit each other; a single class; unknown ``classes`` or an
            unknown reduction.
    """
    _check(classes, reduction)
    probabilities, labels = masked_probabilities(logits, mask, ignore_index)
    errors = torch.where(labels, 1 - probabilities, probabilities)  # 0 at void, and without weight
    if reduction == "batch":
        errors, labels = (x.transpose(0, 1).flatten(1).unsqueeze(0) for x in (errors, labels))
    else:
        errors, labels = (x.flatten(2).contiguous() for x in (errors, labels))
    # Constant while the order of the errors is: their slope is that of the weighted sum.
    extension = (errors * _steps(errors.detach(), labels)).sum(dim=-1)
    present = labels.any(dim=-1)
    if classes == "all":
        extension = torch.where(present, extension, errors.amax(dim=-1))
        counted = present.any(dim=1, keepdim=True).expand_as(present)
    else:
        counted = present
    per_row = torch.where(counted, extension, 0.0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
    return mean_where(per_row, counted.any(dim=1))


def _steps(errors: Tensor, labels: Tensor) -> Tensor:
    """What each pixel adds to its class's Jaccard loss, like both (rows, K, pixels)."""
    if errors.device.type == "cpu" and not torch.compiler.is_compiling():
        return _steps_on_cpu(errors, labels)
    order = errors.argsort(dim=-1, descending=True)
    steps = _sorted_steps(labels.gather(-1, order), errors.dtype)
    return torch.empty_like(steps).scatter_(-1, order, steps)


def _steps_on_cpu(errors: Tensor, labels: Tensor) -> Tensor:
    """Sorts less, and by NumPy, whose sort is several times faster than torch's there."""
    steps = torch.zeros_like(errors)
    for error, label, step in zip(*(x.flatten(0, 1) for x in (errors, labels, steps)), strict=True):
        own = error[label]
        if len(own):
            # Behind its last own pixel a class has nothing left to lose.
            decisive = (error >= own.min()).nonzero().squeeze(1)
            order = decisive[torch.from_numpy(np.argsort(-error[decisive].numpy()))]
            step[order] = _sorted_steps(label[order], error.dtype)
    return steps


def _sorted_steps(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """What each further wrong pixel of a row adds to the Jaccard loss, in the labels' order.

    A missed pixel takes 1 from the intersection, a false one adds 1 to the union: the differences
    are written out, because quotients so close would cancel.
    """
    missed = labels.cumsum(dim=-1, dtype=torch.int32)
    total = missed[..., -1:]
    false = torch.arange(1, labels.shape[-1] + 1, device=labels.device, dtype=torch.int32) - missed
    union = (total + false).to(dtype)
    step_of_false = (total - missed) / (union - 1).clamp(min=1)
    return torch.where(labels, 1.0, step_of_false) / union


class LovaszSoftmaxLoss(Loss):
    """The Lovász-softmax loss (Berman et al. 2018), a surrogate of the mean IoU itself.

    Args:
        classes: The mean over the classes ``"present"`` in the labels, or ``"all"``.
        reduction: ``"batch"``, the IoU over the batch's pixels, or ``"image"``, of each image.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: Unknown ``classes`` or an unknown reduction.
    """

    def __init__(
        self,
        classes: Classes = "present",
        reduction: Reduction = "batch",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(classes, reduction)
        self.classes: Classes = classes
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `lovasz_softmax`."""
        return lovasz_softmax(logits, mask, self.classes, self.reduction, self.ignore_index)


def _check(classes: str, reduction: str) -> None:
    check_choice("classes", classes, Classes)
    check_choice("reduction", reduction, Reduction)
