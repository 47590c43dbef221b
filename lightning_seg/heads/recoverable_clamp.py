"""Clamp to [-1, 1] with gradients that let saturated values recover."""

from typing import Any

import torch
from torch import Tensor


def recoverable_clamp(x: Tensor) -> Tensor:
    """Clamp ``x`` to [-1, 1], like `torch.nn.functional.hardtanh`.

    Gradients pass inside [-1, 1]. Unlike with hardtanh they also pass outside if a descent step
    leads back towards [-1, 1]; gradients that lead farther out become 0.
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
