"""Gradient checkpointing that leaves batch normalisation's running statistics right."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, x: Tensor) -> Tensor:
    """``module(x)`` whose inner activations are computed again in the backward pass, not kept.

    Output, gradients and running statistics equal those of a plain call.
    """
    if not (module.training and torch.is_grad_enabled()):
        plain: Tensor = module(x)
        return plain

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(module)

    if torch.compiler.is_compiling():  # counts every batch once by itself
        output: Tensor = checkpoint(module, x, use_reentrant=False)
    else:
        output = checkpoint(module, x, use_reentrant=False, context_fn=contexts)
    return output


@contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """Within it batch normalisation counts no batch: it has seen this one already."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
