"""Probabilities and one-hot labels of the valid pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import check_shapes, valid_scores


def masked_probabilities(
    logits: Tensor, mask: Tensor, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Return softmax probabilities, float32 or float64, and one-hot labels, bool, 0 at void.

    Both are (B, K, H, W), in the layout of the logits.
    """
    check_shapes(logits, mask)
    scores, labels = valid_scores(logits, mask, ignore_index), mask.unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=mask.device)
    if not _channels_last(logits):
        void = labels == ignore_index
        probabilities = scores.softmax(dim=1).masked_fill(void, 0.0)
        return probabilities, (labels == classes.view(1, -1, 1, 1)) & ~void
    scores, labels = (x.permute(0, 2, 3, 1) for x in (scores, labels))
    void = labels == ignore_index
    probabilities = scores.softmax(dim=-1).masked_fill(void, 0.0).permute(0, 3, 1, 2)
    return probabilities, ((labels == classes) & ~void).permute(0, 3, 1, 2)


def _channels_last(logits: Tensor) -> bool:
    """Return True for channels-last logits, whose softmax over channels makes copies in torch."""
    return logits.is_contiguous(memory_format=torch.channels_last) and not logits.is_contiguous()


def true_class_nll(logits: Tensor, mask: Tensor, ignore_index: int = 255) -> Tensor:
    """Negative log probability of the true class, (B, H, W), 0 at void.

    Much cheaper than `masked_probabilities` for losses that need no other class.
    """
    check_shapes(logits, mask)
    return pixel_nll(logits, mask, ignore_index)


def pixel_nll(
    logits: Tensor,
    mask: Tensor,
    ignore_index: int,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`torch.nn.functional.cross_entropy` per pixel, (B, H, W), in the layout of the logits.

    0 at void, where no gradient comes back even if the logits are not finite.

    For channels-last logits torch would make channels-first copies, and convolutions would then
    have to convert the gradient back.
    """
    logits = valid_scores(logits, mask, ignore_index)
    if _channels_last(logits):
        scores, labels = logits.permute(0, 2, 3, 1).flatten(0, 2), mask.flatten()
    else:
        scores, labels = logits, mask
    nll = F.cross_entropy(
        scores,
        labels,
        weight=weights,
        ignore_index=ignore_index,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return nll.view(mask.shape)
