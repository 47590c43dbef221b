"""Whether a network runs, or is being exported."""

from collections.abc import Callable

import torch

# True while torch.export traces. torch 2.6 cannot tell that from torch.compile: true in both.
is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", torch.compiler.is_compiling
)
