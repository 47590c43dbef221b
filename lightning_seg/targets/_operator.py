"""Registration of functions as torch operators, opaque to torch.compile."""

from collections.abc import Callable

import torch
from torch import Tensor

_library = torch.library.Library("lightning_seg", "FRAGMENT")


def as_operator(
    schema: str, compute: Callable[..., Tensor], without_values: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    """Register the operator ``lightning_seg::name`` for all devices.

    `torch.library.custom_op` would also work but loads the compiler on its first call, which takes
    seconds in every worker of a data loader.

    Args:
        schema: ``name(Tensor mask, ...) -> Tensor``.
        compute: Implementation.
        without_values: Same signature; returns an empty tensor of the same shape, dtype and device.
    """
    name = schema.partition("(")[0]
    if not hasattr(torch.ops.lightning_seg, name):  # exists after a module reload
        _library.define(schema)
        _library.impl(name, compute, "CompositeExplicitAutograd")
        torch.library.register_fake(f"lightning_seg::{name}", without_values, lib=_library)
    operator: Callable[..., Tensor] = getattr(torch.ops.lightning_seg, name)
    return operator
