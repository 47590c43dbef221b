"""Contours of all classes of a label map.

The contour is that of the DAVIS benchmark (Perazzi et al., CVPR 2016, `seg2bmap`): a pixel is on
the contour of a class if it and its right, lower and lower-right neighbours are neither all inside
nor all outside. A pixel is therefore on a contour if its 2 x 2 block holds two labels or more, and
it is on the contour of exactly these classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class ContourCounts(NamedTuple):
    """Contour pixels per image and class, and those matched in the other map: int64 (B, K)."""

    pred: Tensor
    matched_pred: Tensor
    truth: Tensor
    matched_truth: Tensor


def block(maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return each pixel and its right, lower and lower-right neighbours (edge-padded)."""
    right = torch.cat([maps[..., 1:], maps[..., -1:]], dim=-1)
    lower, diagonal = (torch.cat([m[..., 1:, :], m[..., -1:, :]], dim=-2) for m in (maps, right))
    return maps, right, lower, diagonal


def mixed_blocks(labels: Tensor) -> Tensor:
    """Return a mask of 2 x 2 blocks with more than one label; it covers every contour pixel."""
    _, right, lower, diagonal = block(labels)
    return (labels != right) | (labels != lower) | (labels != diagonal)
