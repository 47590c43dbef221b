"""Cross entropy of the softmax."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._probabilities import pixel_nll
from lightning_seg.losses.base import (
    Loss,
    Reduction,
    check_shapes,
    loss_function,
    mean_where,
    pooled,
    promote,
)
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights, check_weights


@loss_function
def cross_entropy(
    logits: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "batch",
    ignore_index: int = 255,
) -> Tensor:
    """Mean cross entropy over the valid pixels, ``sum(w * nll) / sum(w)`` with class weights.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    ``class_weights`` (K,) are not negative. Options and errors as in `CrossEntropyLoss`.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 if no pixel has any weight.
    """
    _check(label_smoothing, reduction)
    check_shapes(logits, mask)
    check_weights(class_weights, logits.shape[1])
    logits = promote(logits)
    weights = None if class_weights is None else class_weights.to(logits)
    nll = pixel_nll(logits, mask, ignore_index, weights, label_smoothing)
    valid = mask != ignore_index
    mass = valid.to(logits.dtype)
    if weights is not None:
        mass = weights[mask.masked_fill(~valid, 0)] * mass
    total, mass = (pooled(x.sum(dim=(1, 2)), reduction) for x in (nll, mass))
    counts = mass > 0
    return mean_where(total / torch.where(counts, mass, 1.0), counts)


class CrossEntropyLoss(Loss):
    """Softmax cross entropy, the baseline of all five papers.

    Args:
        class_weights: K weights, the name of a balance to count from the training labels (see
            `ClassWeights`), or None.
        label_smoothing: Share in [0, 1] of every label that is spread evenly over all classes.
            As in torch, class weights also apply to the spread share.
        reduction: ``"batch"`` takes one mean over all pixels of the batch; ``"image"`` averages the
            means of the images.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: A smoothing outside [0, 1]; an unknown reduction.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import CrossEntropyLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> CrossEntropyLoss()(logits, mask)
        tensor(0.6931)
    """

    def __init__(
        self,
        class_weights: Sequence[float] | ClassBalance | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "batch",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(label_smoothing, reduction)
        self.class_weights = ClassWeights(class_weights)
        self.label_smoothing = label_smoothing
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index

    def check_channels(self, channels: int) -> None:
        """Raise unless there is one class weight per channel."""
        self.class_weights.check_length(channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `cross_entropy`."""
        weights = self.class_weights(logits.shape[1])
        return cross_entropy(
            logits, mask, weights, self.label_smoothing, self.reduction, self.ignore_index
        )


def _check(label_smoothing: float, reduction: str) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}, expected a share in [0, 1]")
    check_choice("reduction", reduction, Reduction)
