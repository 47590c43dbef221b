"""Gradient checkpointing that keeps batch-norm running statistics correct."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, x: Tensor, wanted: bool = True) -> Tensor:
    """Call ``module(x)`` and, if wanted, recompute its activations in the backward pass.

    Output, gradients and running statistics equal those of a plain call.
    """
    if not (wanted and module.training and torch.is_grad_enabled()):
        plain: Tensor = module(x)
        return plain

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(module)

    if torch.compiler.is_compiling():  # already counts every batch once
        output: Tensor = checkpoint(module, x, use_reentrant=False)
    else:
        output = checkpoint(module, x, use_reentrant=False, context_fn=contexts)
    return output


@contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """Freeze running statistics of batch normalisation, which has already seen this batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
