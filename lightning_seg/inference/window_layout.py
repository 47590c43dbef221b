"""Where the windows over an image lie."""

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
    """Windows over one image that is continued by reflection where they leave it.

    Rows and columns of windows are those of the continued image, in which the image itself begins
    at ``origin``. Batches come from top to bottom: none reaches above the first row of the one
    before.

    Args:
        image: Height and width of the image.
        size: Height and width of a window.
        step: Rows and columns from a window to the next.
        padding: Pixels by which the image is continued on every side, at least.
        batch_size: Windows a batch.
        weighting: How much each pixel of a window counts, see `SlidingWindow`.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    step: tuple[int, int]
    padding: int = 0
    batch_size: int = 1
    weighting: Weighting = "uniform"

    def weight(self, device: torch.device | None = None) -> Tensor:
        """How much each pixel of a window counts, (*size) float32."""
        if self.weighting == "gaussian":
            return gaussian_weight(self.size, device)
        return torch.ones(self.size, device=device, dtype=torch.float32)

    @property
    def origin(self) -> Corner:
        """Row and column at which the image begins in the continued image."""
        return self.padding, self.padding

    @cached_property
    def continued(self) -> tuple[int, int]:
        """Height and width of the continued image, which holds one window at least."""
        height, width = (
            max(length + 2 * self.padding, size)
            for length, size in zip(self.image, self.size, strict=True)
        )
        return height, width

    @cached_property
    def batches(self) -> list[list[Corner]]:
        """Upper left corners of the windows, by rows; the last row and column touch the border."""
        rows, columns = (
            [*range(0, length - size, step), length - size]
            for length, size, step in zip(self.continued, self.size, self.step, strict=True)
        )
        corners = list(product(rows, columns))
        return [corners[i : i + self.batch_size] for i in range(0, len(corners), self.batch_size)]

    def batches_over(self, first: int, last: int) -> range:
        """Numbers of the batches with a window over the image's rows from one to another."""
        top = self.origin[0]
        over = [
            number
            for number, batch in enumerate(self.batches)
            if batch[-1][0] + self.size[0] > first + top and batch[0][0] < last + top
        ]
        return range(over[0], over[-1] + 1)

    def finished_after(self, batch: int) -> int:
        """First row of the continued image that windows after this batch still change."""
        last = batch + 1 == len(self.batches)
        return self.continued[0] if last else self.batches[batch + 1][0][0]

    @cached_property
    def open_rows(self) -> int:
        """Most rows that are open at a time."""
        return max(batch[-1][0] + self.size[0] - batch[0][0] for batch in self.batches)


def whole_image(height: int, width: int) -> WindowLayout:
    """The layout of an image that is one window."""
    return WindowLayout((height, width), (height, width), (1, 1))


def gaussian_weight(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """A bell over a window (*size) float32, its standard deviation an eighth of the window."""
    sides = []
    for length in size:
        offset = torch.arange(length, device=device, dtype=torch.float32) - (length - 1) / 2
        sides.append(torch.exp(-0.5 * (offset / (length / 8)).square()))
    return sides[0][:, None] * sides[1]
