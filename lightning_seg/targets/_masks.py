"""Checks of label maps that read none of their values."""

from torch import Tensor


def check_mask(mask: Tensor, num_classes: int) -> None:
    """Raise unless the mask is (B, H, W) integers and there is at least one class."""
    if mask.ndim != 3 or mask.is_floating_point() or mask.is_complex():
        raise ValueError(
            f"mask must be (B, H, W) integers, but is {tuple(mask.shape)} of {mask.dtype}"
        )
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}, but must be at least 1")
