"""L1 between Sobel gradients, the baseline that SEMEDA is compared with."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses.base import Loss, check_shapes, loss_function, mean_where, valid_scores
from lightning_seg.targets._masks import one_hot

Reduction = Literal["pixel", "mean"]


@loss_function
def sobel(
    logits: Tensor, mask: Tensor, reduction: Reduction = "mean", ignore_index: int = 255
) -> Tensor:
    """L1 between the Sobel gradients of the class probabilities and of the one-hot labels.

    Chen et al. (2020), section 4.1: two filters per class, 2K maps, without an activation.
    Void pixels and everything beyond the border are 0 in both.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        reduction: ``"mean"`` averages over the maps and the valid pixels; ``"pixel"`` sums over the
            maps, which makes the loss 2K times larger.
        ignore_index: Label of ignored pixels.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    check_choice("reduction", reduction, Reduction)
    check_shapes(logits, mask)
    num_classes = logits.shape[1]
    void = mask == ignore_index
    scores = valid_scores(logits, mask, ignore_index)
    # Channels last: depthwise convolutions are fastest.
    probabilities = scores.permute(0, 2, 3, 1).softmax(dim=-1).permute(0, 3, 1, 2)
    labels = one_hot(mask, num_classes, ignore_index, probabilities.dtype)
    # Filters are linear: filter the difference once instead of both maps.
    difference = (probabilities - labels).masked_fill(void.unsqueeze(1), 0.0)
    filters = _filters(difference).repeat(num_classes, 1, 1, 1)
    gradients = F.conv2d(difference, filters, padding=1, groups=num_classes)
    errors = gradients.abs()
    errors = errors.mean(dim=1) if reduction == "mean" else errors.sum(dim=1)
    return mean_where(errors, ~void)


def _filters(like: Tensor) -> Tensor:
    """Create both filters (2, 1, 3, 3) on the device; a copy would force a sync."""
    slope = torch.arange(-1, 2, device=like.device, dtype=like.dtype)
    across = torch.outer(2 - slope.abs(), slope)
    return torch.stack([across, across.T]).unsqueeze(1)


class SobelLoss(Loss):
    """``weight`` times `sobel`; add it to the cross entropy.

    Args:
        weight: Factor on `sobel`; 4 is the best of the paper's 0.5, 1, 2 and 4.
        reduction: ``"mean"`` or ``"pixel"``, see `sobel`. The paper allows both readings, but its
            weights suggest the mean: at 4 the gradient is below that of the cross entropy, while
            that of ``"pixel"`` is some 10 times larger.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: A weight that is not above 0; an unknown reduction.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import SobelLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> SobelLoss()(logits, mask)
        tensor(4.)
    """

    reduction: Reduction = "pixel"  # for losses pickled before this option existed

    def __init__(
        self, weight: float = 4.0, reduction: Reduction = "mean", ignore_index: int = 255
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, Reduction)
        if not 0 < weight < math.inf:
            raise ValueError(f"weight is {weight}, expected a finite number above 0")
        self.weight = weight
        self.reduction = reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `sobel`."""
        return self.weight * sobel(logits, mask, self.reduction, self.ignore_index)
