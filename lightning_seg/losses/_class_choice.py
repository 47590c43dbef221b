"""Selection of classes for a loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.errors import InputError


def check_classes(classes: Sequence[int] | None, num_classes: int | None = None) -> None:
    """Raise unless ``classes`` is None or names distinct labels, at least one.

    Raises:
        InputError: An empty choice, a repeated label, or one outside 0..num_classes-1.
    """
    if classes is None:
        return
    if not classes or len(set(classes)) < len(classes) or min(classes) < 0:
        raise InputError(f"classes is {list(classes)}, but must name distinct labels")
    if num_classes is not None and max(classes) >= num_classes:
        raise InputError(
            f"classes is {list(classes)}, but there are {num_classes} classes: "
            f"labels 0 to {num_classes - 1}"
        )


def chosen(by_class: Tensor, classes: Sequence[int] | None) -> Tensor:
    """Select classes from (B, K, ...); all for None."""
    if classes is None:
        return by_class
    # An index tensor would be copied to the device and force a sync.
    return torch.stack([by_class[:, label] for label in classes], dim=1)
