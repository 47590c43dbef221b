"""Availability of Triton."""

import functools
import warnings

import torch


@functools.cache
def triton_works() -> bool:
    """Return True if Triton compiles and runs a kernel on the CUDA device; warn once if not.

    Torch ships Triton for most platforms, but Triton also needs a C compiler at run time.
    """
    try:
        from lightning_seg.targets._triton_probe import launch_nothing

        launch_nothing()
    except Exception as error:
        warnings.warn(
            f"Triton does not work here ({type(error).__name__}: {error}); distances on the GPU "
            "are computed by torch alone: the same up to rounding, but slower",
            stacklevel=2,
        )
        return False
    return True


def runs_triton(device: torch.device) -> bool:
    """Return True if Triton kernels compute the distances on this device."""
    return device.type == "cuda" and torch.version.hip is None and triton_works()
