"""The contour of every class as Canny's detector draws it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.targets._masks import check_mask


def class_boundary(
    mask: Tensor, num_classes: int, width: int = 1, ignore_index: int = 255
) -> Tensor:
    """Pixels on the contour of every class, for each class on its own.

    The contour is the line, one pixel wide, that Canny's edge detector finds in the class's binary
    mask, grown ``width`` times by a cross of 3 x 3 pixels (Diakogiannis et al. 2020, section 3.1.2,
    and the authors' code, where ``width`` is 1). It equals OpenCV's ``Canny(mask, 0, 1)`` to the
    pixel, on any device. Where two pixels on the two sides of a contour are as good, Canny takes
    the upper and left one: a straight edge grown once is three pixels wide, two of them above or
    left of it. The image's border makes no contour, nor does void: what has void among its eight
    neighbours is reached only by growing.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        width: How often the line is grown; 0 leaves it one pixel wide.
        ignore_index: Label of void pixels.

    Returns:
        (B, K, H, W) float32, 1 on the contours and 0 elsewhere and at void pixels, on the mask's
        device.

    Raises:
        ValueError: Wrong shape or dtype, no class, or a negative width.
    """
    check_mask(mask, num_classes)
    _check_width(width)
    labels = torch.arange(num_classes, device=mask.device).view(1, -1, 1, 1)
    void = (mask == ignore_index).unsqueeze(1)
    line = _canny((mask.unsqueeze(1) == labels).to(torch.int8), _with_neighbours(void))
    for _ in range(width):
        line = _grown_by_a_cross(line)
    return (line & ~void).float()


def _canny(member: Tensor, blind: Tensor) -> Tensor:
    """Canny's lines in binary maps (B, K, H, W) int8; none at ``blind`` pixels (B, 1, H, W) bool.

    On binary maps the two sums below are even or odd together, so the gradient's size is 0 or at
    least 2: thresholds of 0 and 1 keep every local maximum, and there are no weak edges to follow.
    Angles of 22.5 and 67.5 degrees, irrational slopes, part the possible sums where 1:2 and 2:1 do.
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
    """One more row or column on every side, equal to the outermost."""
    maps = torch.cat([maps[..., :1, :], maps, maps[..., -1:, :]], dim=-2)
    return torch.cat([maps[..., :1], maps, maps[..., -1:]], dim=-1)


def _with_neighbours(where: Tensor) -> Tensor:
    return F.max_pool2d(where.float(), 3, stride=1, padding=1) > 0


def _grown_by_a_cross(line: Tensor) -> Tensor:
    around = F.pad(line, (1, 1, 1, 1))
    across = around[..., 1:-1, :-2] | around[..., 1:-1, 2:]
    return line | across | around[..., :-2, 1:-1] | around[..., 2:, 1:-1]


def _check_width(width: int) -> None:
    if width < 0:
        raise ValueError(f"width is {width}, but a line can be grown 0 times at least")


@dataclass(frozen=True)
class ClassBoundary:
    """The target of boundary prediction: `class_boundary`, 0 or 1.

    Args:
        width: How often the one-pixel line is grown by a cross; 1 is the paper's.
        ignore_index: Label of void pixels.
    """

    width: int = 1
    ignore_index: int = 255

    def __post_init__(self) -> None:
        _check_width(self.width)

    @property
    def key(self) -> str:
        """Name and parameters, fit for a file name."""
        return f"class_boundary-width={self.width}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Mask (B, H, W) to (B, K, H, W) float32 of 0 and 1, on the mask's device."""
        return class_boundary(mask, num_classes, self.width, self.ignore_index)
