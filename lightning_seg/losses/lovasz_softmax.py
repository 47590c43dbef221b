"""Lovász-softmax loss."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._probabilities import masked_probabilities
from lightning_seg.losses.base import Loss, Reduction, loss_function, mean_where

Classes = Literal["present", "all"]


@loss_function
def lovasz_softmax(
    logits: Tensor,
    mask: Tensor,
    classes: Classes = "present",
    reduction: Reduction = "batch",
    ignore_index: int = 255,
) -> Tensor:
    """Convex extension of the Jaccard loss of each class (Berman et al. 2018, eqs. 8 and 11).

    The errors of a class, ``1 - p`` on its pixels and ``p`` elsewhere, are sorted in descending
    order. Each is weighted by the increase of the Jaccard loss if that pixel is misclassified in
    addition to all before it.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    Options and errors as in `LovaszSoftmaxLoss`.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    _check(classes, reduction)
    probabilities, labels = masked_probabilities(logits, mask, ignore_index)
    errors = torch.where(labels, 1 - probabilities, probabilities)  # 0 at void, with weight 0
    if reduction == "batch":
        errors, labels = (x.transpose(0, 1).flatten(1).unsqueeze(0) for x in (errors, labels))
    else:
        errors, labels = (x.flatten(2).contiguous() for x in (errors, labels))
    # The weights are constant for a given order, so the gradient is that of the weighted sum.
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
    """Return the increase of the Jaccard loss by each pixel, (rows, K, pixels) like the inputs."""
    if errors.device.type == "cpu" and not torch.compiler.is_compiling():
        return _steps_on_cpu(errors, labels)
    order = errors.argsort(dim=-1, descending=True)
    steps = _sorted_steps(labels.gather(-1, order), errors.dtype)
    return torch.empty_like(steps).scatter_(-1, order, steps)


def _steps_on_cpu(errors: Tensor, labels: Tensor) -> Tensor:
    """Sort fewer pixels, with NumPy, whose sort is several times faster than torch's on the CPU."""
    steps = torch.zeros_like(errors)
    for error, label, step in zip(*(x.flatten(0, 1) for x in (errors, labels, steps)), strict=True):
        own = error[label]
        if len(own):
            # Pixels sorted after the last one of the class have weight 0.
            decisive = (error >= own.min()).nonzero().squeeze(1)
            order = decisive[torch.from_numpy(np.argsort(-error[decisive].numpy()))]
            step[order] = _sorted_steps(label[order], error.dtype)
    return steps


def _sorted_steps(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the increase of the Jaccard loss by each further wrong pixel of a sorted row.

    A false negative takes 1 from the intersection, a false positive adds 1 to the union. The
    differences are written out because subtracting nearly equal quotients loses precision.
    """
    missed = labels.cumsum(dim=-1, dtype=torch.int32)
    total = missed[..., -1:]
    false = torch.arange(1, labels.shape[-1] + 1, device=labels.device, dtype=torch.int32) - missed
    union = (total + false).to(dtype)
    step_of_false = (total - missed) / (union - 1).clamp(min=1)
    return torch.where(labels, 1.0, step_of_false) / union


class LovaszSoftmaxLoss(Loss):
    """Lovász-softmax loss (Berman et al. 2018), a surrogate of the mean IoU.

    Args:
        classes: Average over the classes ``"present"`` in the labels, or over ``"all"``, where an
            absent class costs its largest probability.
        reduction: ``"batch"`` sorts all pixels of the batch together; ``"image"`` averages the
            losses of the images.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: Unknown ``classes`` or an unknown reduction.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import LovaszSoftmaxLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> LovaszSoftmaxLoss()(logits, mask)
        tensor(0.5000)
    """

    def __init__(
        self, classes: Classes = "present", reduction: Reduction = "batch", ignore_index: int = 255
    ) -> None:
        super().__init__()
        _check(classes, reduction)
        self.classes: Classes = classes
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `lovasz_softmax`."""
        return lovasz_softmax(logits, mask, self.classes, self.reduction, self.ignore_index)


def _check(classes: str, reduction: str) -> None:
    check_choice("classes", classes, Classes)
    check_choice("reduction", reduction, Reduction)
