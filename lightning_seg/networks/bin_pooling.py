"""Adaptive average pooling that exports for any height and width."""

import torch
from torch import Tensor


def bin_means(x: Tensor, bins: int) -> Tensor:
    """Average (B, C, h, w) over ``bins`` x ``bins`` cells, (B, C, bins, bins).

    The cells are those of `torch.nn.functional.adaptive_avg_pool2d`, which does not export for
    dynamic sizes and whose gradient on GPUs is not deterministic.
    """
    if bins == 1:
        return x.mean(dim=(2, 3), keepdim=True)
    rows = _cells(x.shape[2], bins, x)
    columns = _cells(x.shape[3], bins, x)
    return rows @ x @ columns.T


def _cells(length: int, bins: int, like: Tensor) -> Tensor:
    """Weights (bins, length) of each position in the mean of each cell."""
    place = torch.arange(length, device=like.device)
    cell = torch.arange(bins, device=like.device)[:, None]
    start = cell * length // bins
    end = ((cell + 1) * length + bins - 1) // bins
    inside = (place >= start) & (place < end)
    return inside.to(like.dtype) / (end - start)
