"""Contours of each class by Canny's edge detector."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.targets._masks import check_mask


def class_boundary(
    mask: Tensor, num_classes: int, width: int = 1, ignore_index: int = 255
) -> Tensor:
    """Contours of each class as binary maps.

    Canny's edge detector draws a line one pixel wide in the binary mask of the class. It is dilated
    ``width`` times by a 3 x 3 cross (Diakogiannis et al. 2020, section 3.1.2, and the authors'
    code, where ``width`` is 1). The line equals OpenCV's ``Canny(mask, 0, 1)`` exactly, on any
    device. Of two equal pixels on both sides of a contour Canny takes the upper or left one: a
    straight edge dilated once is three pixels wide, two of them above or left of it. Neither the
    image border nor void makes a contour; pixels with void among their eight neighbours are
    reached only by dilation.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        width: Number of dilations; 0 leaves the line one pixel wide.
        ignore_index: Label of void pixels.

    Returns:
        (B, K, H, W) float32 on the mask's device: 1 on contours, 0 elsewhere and at void pixels.

    Raises:
        ValueError: Wrong shape or dtype, no class, or a negative width.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import class_boundary
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> class_boundary(mask, num_classes=2)[0, :, 0]
        tensor([[1., 1., 1., 0.],
                [1., 1., 1., 0.]])
    """
    check_mask(mask, num_classes)
    _check_width(width)
    labels = torch.arange(num_classes, device=mask.device).view(1, -1, 1, 1)
    void = (mask == ignore_index).unsqueeze(1)
    line = _canny((mask.unsqueeze(1) == labels).to(torch.int8), _with_neighbours(void))
    for _ in range(width):
        line = _dilate_by_cross(line)
    return (line & ~void).float()


def _canny(member: Tensor, blind: Tensor) -> Tensor:
    """Canny edges of binary maps (B, K, H, W) int8, none at ``blind`` pixels (B, 1, H, W) bool.

    On binary maps the two sums below are both even or both odd, so the gradient magnitude is 0 or
    at least 2: thresholds of 0 and 1 keep every local maximum, and there are no weak edges to
    follow. Slopes of 1:2 and 2:1 separate the possible sums exactly like Canny's angles of 22.5 and
    67.5 degrees.
    """
    padded = _replicate(member)
    left, middle, right = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
    rows = left + 2 * middle + right
    down = rows[..., 2:, :] - rows[..., :-2, :]
    columns = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    across = columns[..., 2:] - columns[..., :-2]

    size = (across.abs() + down.abs()).masked_fill(blind, 0)
    around = F.pad(size, (1, 1, 1, 1))
    up, here, below = around[..., :-2, :], around[..., 1:-1, :], around[..., 2:, :]
    horizontal = across.abs() > 2 * down.abs()
    vertical = down.abs() > 2 * across.abs()
    peak_across = (size > here[..., :-2]) & (size >= here[..., 2:])
    peak_down = (size > up[..., 1:-1]) & (size >= below[..., 1:-1])
    peak_falling = (size > up[..., :-2]) & (size > below[..., 2:])
    peak_rising = (size > up[..., 2:]) & (size > below[..., :-2])
    peak_aslant = torch.where(across * down < 0, peak_rising, peak_falling)
    peak = torch.where(horizontal, peak_across, torch.where(vertical, peak_down, peak_aslant))
    return peak & (size > 0)


def _replicate(maps: Tensor) -> Tensor:
    """Pad by one replicated row or column on every side."""
    maps = torch.cat([maps[..., :1, :], maps, maps[..., -1:, :]], dim=-2)
    return torch.cat([maps[..., :1], maps, maps[..., -1:]], dim=-1)


def _with_neighbours(where: Tensor) -> Tensor:
    return F.max_pool2d(where.float(), 3, stride=1, padding=1) > 0


def _dilate_by_cross(line: Tensor) -> Tensor:
    around = F.pad(line, (1, 1, 1, 1))
    across = around[..., 1:-1, :-2] | around[..., 1:-1, 2:]
    return line | across | around[..., :-2, 1:-1] | around[..., 2:, 1:-1]


def _check_width(width: int) -> None:
    if width < 0:
        raise ValueError(f"width is {width}, but must be 0 or more")


@dataclass(frozen=True)
class ClassBoundary:
    """Target of boundary prediction: `class_boundary`, 0 or 1.

    Args:
        width: Number of dilations of the one-pixel line by a cross; 1 in the paper.
        ignore_index: Label of void pixels.

    Attributes:
        bounds: Lowest and highest possible value.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import ClassBoundary
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> ClassBoundary(width=0)(mask, num_classes=2)[0, :, 0]
        tensor([[0., 1., 0., 0.],
                [0., 1., 0., 0.]])
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    width: int = 1
    ignore_index: int = 255

    def __post_init__(self) -> None:
        _check_width(self.width)

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        return f"class_boundary-width={self.width}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, K, H, W) float32 of 0 and 1 of a mask (B, H, W), on its device."""
        return class_boundary(mask, num_classes, self.width, self.ignore_index)
