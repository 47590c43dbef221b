"""Detection of torch.export."""

from collections.abc import Callable

import torch

# True while torch.export traces. In torch 2.6 also true in torch.compile.
is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)
