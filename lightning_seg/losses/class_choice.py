"""Losses over some of the classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.errors import InputError


def check_classes(classes: Sequence[int] | None, num_classes: int | None = None) -> None:
    """Refuses a choice of classes that is empty, repeats one or names what is no class.

    Raises:
        InputError: It does.
    """
    if classes is None:
        return
    if not classes or len(set(classes)) < len(classes) or min(classes) < 0:
        raise InputError(f"classes is {list(classes)}, but must name labels, each of them once")
    if num_classes is not None and max(classes) >= num_classes:
        raise InputError(
            f"classes is {list(classes)}, but there are {num_classes} classes: "
            f"labels 0 to {num_classes - 1}"
        )


def chosen(by_class: Tensor, classes: Sequence[int] | None) -> Tensor:
    """Of (B, K, ...) the chosen classes; all for None."""
    if classes is None:
        return by_class
    # An index would be copied to a device, and waited for.
    return torch.stack([by_class[:, label] for label in classes], dim=1)
