"""Minimal Triton kernel to test whether Triton works."""

import torch
import triton
import triton.language as tl


@triton.jit
def _nothing(pointer):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    tl.store(pointer, 0)


def launch_nothing() -> None:
    """Compile and launch an empty kernel; raise the error if that fails."""
    _nothing[(1,)](torch.empty(1, dtype=torch.int32, device="cuda"))
