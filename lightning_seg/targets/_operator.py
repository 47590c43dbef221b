"""Functions as operators of torch, which a compiled training step holds as they are."""

from collections.abc import Callable

import torch
from torch import Tensor

_library = torch.library.Library("lightning_seg", "FRAGMENT")


def as_operator(
    schema: str, compute: Callable[..., Tensor], without_values: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    """The operator ``lightning_seg::name`` for all devices.

    `torch.library.custom_op` would do, too, but loads the compiler when it is first called, which
    takes seconds in every worker of a data loader.

    Args:
        schema: ``name(Tensor mask, ...) -> Tensor``.
        compute: The function.
        without_values: The same call to an empty tensor of the result's shape, type and device.
    """
    name = schema.partition("(")[0]
    if not hasattr(torch.ops.lightning_seg, name):  # there after a reload of the module
        _library.define(schema)
        _library.impl(name, compute, "CompositeExplicitAutograd")
        torch.library.register_fake(f"lightning_seg::{name}", without_values, lib=_library)
    operator: Callable[..., Tensor] = getattr(torch.ops.lightning_seg, name)
    return operator
