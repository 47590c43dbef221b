"""Whether Triton can be used here."""

import functools
import warnings

import torch


@functools.cache
def triton_works() -> bool:
    """Whether Triton compiles and runs a kernel on the CUDA device; warns once where it does not.

    Torch brings Triton for most platforms, but it also needs a C compiler where it runs.
    """
    try:
        from lightning_seg.targets._triton_probe import launch_nothing

        launch_nothing()
    except Exception as error:
        warnings.warn(
            f"Triton does not work here ({type(error).__name__}: {error}); distances on the GPU "
            "are computed by torch alone: the same to the last digits, but slower",
            stacklevel=2,
        )
        return False
    return True


def runs_triton(device: torch.device) -> bool:
    """Whether distances on this device are computed by Triton kernels."""
    return device.type == "cuda" and torch.version.hip is None and triton_works()
