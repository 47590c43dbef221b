"""Selection of classes, and sums over the pixels of each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_seg.errors import InputError


def check_classes(classes: Sequence[int] | None, num_classes: int | None = None) -> None:
    """Raise InputError unless ``classes`` is None or names distinct labels, at least one."""
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


def sum_by_class(values: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum values (B, H, W) over the pixels of each label, (B, K).

    Labels (B, H, W) are int64 in 0..K-1; void pixels have any label and a value of 0.
    """
    batch, height, _ = values.shape
    # Row sums first: fewer pixels collide in one scatter.
    rows = values.new_zeros(batch, height, num_classes).scatter_add(2, labels, values)
    return rows.sum(dim=1)
