"""Sums over the pixels of each class."""

from torch import Tensor


def sum_by_class(values: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Values (B, H, W) added up over the pixels of each label, (B, K).

    Args:
        values: (B, H, W).
        labels: (B, H, W) int64, all of them in 0..K-1: void needs a label, too, and values of 0.
        num_classes: K.
    """
    batch, height, _ = values.shape
    # Rows first, then all of them: fewer pixels at a time fall on one class.
    rows = values.new_zeros(batch, height, num_classes).scatter_add(2, labels, values)
    return rows.sum(dim=1)
