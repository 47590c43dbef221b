"""Losses of the softmax that compute value and gradient together, a few images at a time.

Such a loss keeps one map for the backward pass, its gradient; autograd would keep every
intermediate map of the batch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_seg.losses.base import check_shapes, loss_function, promote

VOID = -1

Term = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor, Tensor | None]]
"""Called with probabilities (b, K, H, W), 0 at void; labels (b, H, W), `VOID` at void; and True if
the gradient is needed. Returns the sum of the terms and their number, both scalars, and the
gradient of the sum with respect to the probabilities, (b, K, H, W) or None. The loss is the sum
over the whole batch divided by the number."""


@loss_function
def probability_loss(
    logits: Tensor, mask: Tensor, term: Term, ignore_index: int, channels_last: bool = False
) -> Tensor:
    """Mean of ``term`` over the batch; 0 if there are no terms.

    The result is once differentiable. With ``channels_last``, ``term`` is given the probabilities
    in that layout.
    """
    check_shapes(logits, mask)
    loss: Tensor = _ProbabilityLoss.apply(promote(logits), mask, term, ignore_index, channels_last)
    return loss


class _ProbabilityLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, mask: Tensor, term: Term, ignore_index: int, channels_last: bool
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        images = _images_at_once(logits)
        total, number = logits.new_zeros(()), mask.new_zeros(())
        whole = torch.empty_like(logits) if wanted else logits
        parts = (logits.split(images), mask.split(images), whole.split(images))
        for scores, labels, part in zip(*parts, strict=True):
            void = labels == ignore_index
            if channels_last:
                probabilities = scores.permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2)
            else:
                probabilities = scores.softmax(1)
            probabilities.masked_fill_(void.unsqueeze(1), 0)
            labels = labels.masked_fill(void, VOID)
            value, count, gradient = term(probabilities, labels, wanted)
            total = total + value
            number = number + count
            if gradient is not None:
                along = (gradient * probabilities).sum(1, keepdim=True)
                torch.mul(gradient.sub_(along), probabilities, out=part)
        number = number.clamp(min=1)
        if wanted:
            ctx.save_for_backward(whole, number)
        return total / number

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None, None, None]:
        gradient, number = ctx.saved_tensors
        return gradient * (outputs[0] / number), None, None, None, None


def _images_at_once(logits: Tensor) -> int:
    """Number of images that fit the caches of a CPU or keep a GPU busy; at least one."""
    if torch.compiler.is_compiling():
        return max(1, len(logits))  # every iteration of the loop would be compiled separately
    elements = 2**22 if logits.device.type == "cpu" else 2**24
    return max(1, elements // max(1, logits.shape[1:].numel()))
