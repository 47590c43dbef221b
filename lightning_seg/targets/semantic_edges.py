"""Edges of label maps in 8-neighbourhoods."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def semantic_edges(mask: Tensor, ignore_index: int = 255) -> Tensor:
    """Return the pixels that have a differently labelled pixel among their 8 neighbours.

    Edges are two pixels wide, one on each side. Neither the image border nor void makes an edge,
    and void pixels are never edges (Chen et al. 2020, section 3.3, which leaves both open).

    Args:
        mask: (B, H, W) integers.
        ignore_index: Label of void pixels.

    Returns:
        (B, H, W) bool, on the mask's device.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import semantic_edges
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> semantic_edges(mask)
        tensor([[[False,  True,  True, False]]])
    """
    labels = mask.float()  # pooling needs floats; exact for any label
    valid = labels != ignore_index
    lowest = -_neighbour_maximum(torch.where(valid, -labels, -torch.inf))
    highest = _neighbour_maximum(torch.where(valid, labels, -torch.inf))
    return valid & (lowest != highest)


def _neighbour_maximum(values: Tensor) -> Tensor:
    return F.max_pool2d(values.unsqueeze(1), 3, stride=1, padding=1).squeeze(1)


@dataclass(frozen=True)
class SemanticEdges:
    """Target of edge prediction: `semantic_edges`, 0 or 1.

    Args:
        ignore_index: Label of void pixels.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import SemanticEdges
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> SemanticEdges()(mask, num_classes=2)[0, 0]
        tensor([[0., 1., 1., 0.]])
    """

    ignore_index: int = 255

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        return f"semantic_edges-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, 1, H, W) float32 of 0 and 1 of a mask (B, H, W), on its device."""
        del num_classes
        return semantic_edges(mask, self.ignore_index).unsqueeze(1).float()
