"""A clamp to [-1, 1] that what it has clamped can leave again."""

from typing import Any

import torch
from torch import Tensor


def recoverable_clamp(x: Tensor) -> Tensor:
    """``x`` clamped to [-1, 1], as `torch.nn.functional.hardtanh` gives it.

    Gradients pass inside [-1, 1] and, unlike hardtanh's, also outside where a descent along them
    leads back; those that would lead farther out are 0.
    """
    return _RecoverableClamp.apply(x)


class _RecoverableClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        clamped = x.clamp(-1, 1)
        ctx.save_for_backward(clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (clamped,) = ctx.saved_tensors
        side = clamped.trunc()  # 0 inside
        return torch.where(side * gradient < 0, 0.0, gradient)
