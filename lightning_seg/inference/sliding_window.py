"""A network over an image larger than it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor

Weighting = Literal["uniform", "gaussian"]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class SlidingWindow:
    """Runs a function over overlapping windows and averages what it returns.

    Windows lie on a regular grid whose last row and column are moved back to the image's border,
    so every pixel is covered; each output pixel is the mean over the windows that cover it. An
    image smaller than the window is continued by reflection and cropped back. What comes out of
    every window alike, comes out to the bit.

    Args:
        size: Height and width of the window in pixels.
        overlap: Share of the window shared with the next one, in [0, 1); 0.75 in Audebert et al.
            (2019) and ResUNet-a (2020).
        batch_size: Windows a call.
        padding: Pixels by which the image is continued by reflection on every side, so that its
            border is seen from as many windows as its middle; 128 in ResUNet-a.
        weighting: ``uniform``, or ``gaussian``: pixels near a window's middle, which have more
            context, count more (standard deviation an eighth of the window, as nnU-Net).

    Raises:
        ValueError: A size or a batch size below 1, an overlap outside [0, 1), a negative padding or
            an unknown weighting.
    """

    size: tuple[int, int]
    overlap: float = 0.25
    batch_size: int = 4
    padding: int = 0
    weighting: Weighting = "uniform"

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size is {self.size}, but a window has at least 1 x 1 pixels")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, but must lie in [0, 1)")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, but must be at least 1")
        if self.padding < 0:
            raise ValueError(f"padding is {self.padding}, but must be 0 pixels or more")
        if self.weighting not in get_args(Weighting):
            raise ValueError(
                f"weighting is {self.weighting!r}, but must be 'uniform' or 'gaussian'"
            )

    def __call__(
        self, function: Callable[[Tensor], dict[str, Tensor]], image: Tensor
    ) -> dict[str, Tensor]:
        """The function's maps over the whole image.

        Args:
            function: (N, C, *size) to maps (N, C', *size) by name; they are averaged as they are,
                so return probabilities rather than logits.
            image: (B, C, H, W).

        Returns:
            Maps (B, C', H, W) by name.
        """
        height, width = image.shape[-2:]
        padded = _continue(
            _continue(image, -2, self._margins(0, height)), -1, self._margins(1, width)
        )
        batches = self._batches(*padded.shape[-2:])
        weight = self._weight(image)
        means: dict[str, Tensor] = {}
        for b in range(len(image)):
            seen = image.new_zeros(padded.shape[-2:], dtype=torch.float32)
            for windows in batches:
                crops = torch.stack([padded[b][:, rows, columns] for rows, columns in windows])
                maps_of = function(crops)
                for i, (rows, columns) in enumerate(windows):
                    seen[rows, columns] += weight
                    share = weight / seen[rows, columns]
                    for name, maps in maps_of.items():
                        if name not in means:
                            shape = (len(image), maps.shape[1], *padded.shape[-2:])
                            means[name] = maps.new_zeros(shape)
                        # A mean that moves stays where it is when all agree, without rounding.
                        mean = means[name][b][:, rows, columns]
                        mean += (maps[i] - mean) * share.to(mean.dtype)
        top, left = self._margins(0, height)[0], self._margins(1, width)[0]
        return {
            name: mean[..., top : top + height, left : left + width] for name, mean in means.items()
        }

    def _margins(self, side: int, length: int) -> tuple[int, int]:
        """Pixels before and after, so that the padding and at least one window fit."""
        after = max(self.size[side] - (length + 2 * self.padding), 0)
        return self.padding, self.padding + after

    def _weight(self, image: Tensor) -> Tensor:
        if self.weighting == "uniform":
            return image.new_ones(self.size, dtype=torch.float32)
        sides = []
        for size in self.size:
            offset = torch.arange(size, device=image.device, dtype=torch.float32) - (size - 1) / 2
            sides.append(torch.exp(-0.5 * (offset / (size / 8)).square()))
        return sides[0][:, None] * sides[1]

    def _batches(self, height: int, width: int) -> list[list[Window]]:
        starts = self._starts(height, self.size[0]), self._starts(width, self.size[1])
        windows = [
            (slice(y, y + self.size[0]), slice(x, x + self.size[1])) for y, x in product(*starts)
        ]
        return [windows[i : i + self.batch_size] for i in range(0, len(windows), self.batch_size)]

    def _starts(self, length: int, size: int) -> list[int]:
        step = max(round(size * (1 - self.overlap)), 1)
        return [*range(0, length - size, step), length - size]


def _continue(image: Tensor, dim: int, margins: tuple[int, int]) -> Tensor:
    """Reflects a dimension at both ends, back and forth where the margin is longer than it."""
    before, after = margins
    if before == after == 0:
        return image
    length = image.shape[dim]
    period = max(2 * (length - 1), 1)
    index = torch.arange(-before, length + after, device=image.device) % period
    return image.index_select(dim, torch.minimum(index, period - index).clamp(max=length - 1))
