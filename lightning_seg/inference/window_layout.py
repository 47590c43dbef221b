"""Layout of sliding windows over an image."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["uniform", "gaussian"]
Corner = tuple[int, int]


@dataclass(frozen=True)
class WindowLayout:
    """Windows over one image, which is padded by reflection where they exceed it.

    Window positions are rows and columns of the padded image; the image itself starts at
    ``origin``. Batches run from top to bottom: none reaches above the first row of the previous
    one.

    Args:
        image: Height and width of the image.
        size: Height and width of a window.
        step: Vertical and horizontal stride of the windows.
        padding: Minimum padding on every side in pixels.
        batch_size: Windows per batch.
        weighting: Weighting of the pixels of a window, see `SlidingWindow`.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    step: tuple[int, int]
    padding: int = 0
    batch_size: int = 1
    weighting: Weighting = "uniform"

    def weight(self, device: torch.device | None = None) -> Tensor:
        """Return the weight of each pixel of a window, (*size) float32."""
        if self.weighting == "gaussian":
            return gaussian_weight(self.size, device)
        return torch.ones(self.size, device=device, dtype=torch.float32)

    @property
    def origin(self) -> Corner:
        """Row and column of the image's upper left corner in the padded image."""
        return self.padding, self.padding

    @cached_property
    def padded_size(self) -> tuple[int, int]:
        """Height and width of the padded image, at least those of one window."""
        height, width = (
            max(length + 2 * self.padding, size)
            for length, size in zip(self.image, self.size, strict=True)
        )
        return height, width

    @cached_property
    def batches(self) -> list[list[Corner]]:
        """Upper left corners of the windows, row by row; the last ones touch the border."""
        rows, columns = (
            [*range(0, length - size, step), length - size]
            for length, size, step in zip(self.padded_size, self.size, self.step, strict=True)
        )
        corners = list(product(rows, columns))
        return [corners[i : i + self.batch_size] for i in range(0, len(corners), self.batch_size)]

    def batches_over(self, first: int, last: int) -> range:
        """Return the indices of the batches with a window over the rows [first, last)."""
        top = self.origin[0]
        over = [
            number
            for number, batch in enumerate(self.batches)
            if batch[-1][0] + self.size[0] > first + top and batch[0][0] < last + top
        ]
        return range(over[0], over[-1] + 1)

    def finished_after(self, batch: int) -> int:
        """Return the first row of the padded image that later batches still change."""
        last = batch + 1 == len(self.batches)
        return self.padded_size[0] if last else self.batches[batch + 1][0][0]

    @cached_property
    def open_rows(self) -> int:
        """Maximum number of unfinished rows."""
        return max(batch[-1][0] + self.size[0] - batch[0][0] for batch in self.batches)


def whole_image(height: int, width: int) -> WindowLayout:
    """Return the layout with the whole image as one window."""
    return WindowLayout((height, width), (height, width), (1, 1))


def reflected(start: int, length: int, whole: int, device: torch.device | None = None) -> Tensor:
    """Map positions ``start`` to ``start + length - 1`` to [0, whole) by repeated reflection.

    The border pixels are not repeated.

    Example:
        >>> reflected(-2, 6, 3).tolist()
        [2, 1, 0, 1, 2, 1]
    """
    period = max(2 * (whole - 1), 1)
    index = torch.arange(start, start + length, device=device) % period
    return torch.minimum(index, period - index).clamp(max=whole - 1)


def gaussian_weight(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Return a Gaussian over a window (*size) float32; its sigma is one eighth of the window."""
    sides = []
    for length in size:
        offset = torch.arange(length, device=device, dtype=torch.float32) - (length - 1) / 2
        sides.append(torch.exp(-0.5 * (offset / (length / 8)).square()))
    return sides[0][:, None] * sides[1]
