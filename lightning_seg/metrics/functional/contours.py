"""Contours of all classes of a label map, and which of their pixels lie near the other map's.

The contour is that of the DAVIS benchmark (Perazzi et al., CVPR 2016, `seg2bmap`): a pixel is on
the contour of a class if it and its right, lower and lower right neighbour are not all inside or
all outside. So the contour pixels of ALL classes are those whose block of four holds two labels
or more, and each is on the contours of just these.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class ContourCounts(NamedTuple):
    """Contour pixels of each image and class, and those the other map confirms: int64 (B, K)."""

    pred: Tensor
    matched_pred: Tensor
    truth: Tensor
    matched_truth: Tensor


def block(maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each pixel, its right, lower and lower right neighbour; itself beyond the border."""
    right = torch.cat([maps[..., 1:], maps[..., -1:]], dim=-1)
    lower, diagonal = (torch.cat([m[..., 1:, :], m[..., -1:, :]], dim=-2) for m in (maps, right))
    return maps, right, lower, diagonal


def mixed_blocks(labels: Tensor) -> Tensor:
    """Where a block of four holds more than one label: every contour pixel is among these."""
    _, right, lower, diagonal = block(labels)
    return (labels != right) | (labels != lower) | (labels != diagonal)
