"""Sums over the pixels of each class."""

from torch import Tensor


def sum_by_class(values: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Sum values (B, H, W) over the pixels of each label, (B, K).

    Args:
        values: (B, H, W).
        labels: (B, H, W) int64 in 0..K-1; give void pixels any label and a value of 0.
        num_classes: K.
    """
    batch, height, _ = values.shape
    # Row sums first: fewer pixels collide in one scatter.
    rows = values.new_zeros(batch, height, num_classes).scatter_add(2, labels, values)
    return rows.sum(dim=1)
