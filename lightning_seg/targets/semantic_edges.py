"""Edges of a label map by the 8-neighbour rule."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def semantic_edges(mask: Tensor, ignore_index: int = 255) -> Tensor:
    """Pixels with a differently labelled pixel among their 8 neighbours.

    Edges are two pixels wide, one on each side. The image's border makes no edge, nor does void,
    which is never an edge itself (Chen et al. 2020, section 3.3, which leaves both open).

    Args:
        mask: (B, H, W) integers.
        ignore_index: Label of void pixels.

    Returns:
        (B, H, W) bool, on the mask's device.
    """
    labels = mask.float()  # what pooling takes; exact for any label
    valid = labels != ignore_index
    lowest = -_neighbour_maximum(torch.where(valid, -labels, -torch.inf))
    highest = _neighbour_maximum(torch.where(valid, labels, -torch.inf))
    return valid & (lowest != highest)


def _neighbour_maximum(values: Tensor) -> Tensor:
    return F.max_pool2d(values.unsqueeze(1), 3, stride=1, padding=1).squeeze(1)


@dataclass(frozen=True)
class SemanticEdges:
    """The target of edge prediction: `semantic_edges`, 0 or 1.

    Args:
        ignore_index: Label of void pixels.
    """

    ignore_index: int = 255

    @property
    def key(self) -> str:
        """Name and parameters, fit for a file name."""
        return f"semantic_edges-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Mask (B, H, W) to (B, 1, H, W) float32 of 0 and 1, on the mask's device."""
        del num_classes
        return semantic_edges(mask, self.ignore_index).unsqueeze(1).float()
