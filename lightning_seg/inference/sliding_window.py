"""A network over an image larger than it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SlidingWindow:
    """Runs a function over overlapping windows and averages what it returns.

    Windows lie on a regular grid whose last row and column are moved back to the image's border,
    so every pixel is covered; each output pixel is the mean over the windows that cover it. An
    image smaller than the window is padded by its edge pixels and cropped back.

    Args:
        size: Height and width of the window in pixels.
        overlap: Share of the window shared with the next one, in [0, 1).
        batch_size: Windows a call.

    Raises:
        ValueError: A size below 1, an overlap outside [0, 1) or a batch size below 1.
    """

    size: tuple[int, int]
    overlap: float = 0.25
    batch_size: int = 4

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size is {self.size}, but a window has at least 1 x 1 pixels")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, but must lie in [0, 1)")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, but must be at least 1")

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
        pad = (0, max(self.size[1] - width, 0), 0, max(self.size[0] - height, 0))
        padded = F.pad(image, pad, mode="replicate")
        sums: dict[str, Tensor] = {}
        counts = image.new_zeros(padded.shape[-2:])
        for b, windows in product(range(len(image)), self._batches(*padded.shape[-2:])):
            crops = torch.stack([padded[b][:, rows, columns] for rows, columns in windows])
            for name, maps in function(crops).items():
                if name not in sums:
                    shape = (len(image), maps.shape[1], *padded.shape[-2:])
                    sums[name] = maps.new_zeros(shape)
                for crop, (rows, columns) in zip(maps, windows, strict=True):
                    sums[name][b][:, rows, columns] += crop
            if b == 0:
                for rows, columns in windows:
                    counts[rows, columns] += 1
        return {name: (total / counts)[..., :height, :width] for name, total in sums.items()}

    def _batches(self, height: int, width: int) -> list[list[tuple[slice, slice]]]:
        windows = [
            (slice(y, y + self.size[0]), slice(x, x + self.size[1]))
            for y in self._starts(height, self.size[0])
            for x in self._starts(width, self.size[1])
        ]
        return [windows[i : i + self.batch_size] for i in range(0, len(windows), self.batch_size)]

    def _starts(self, length: int, size: int) -> list[int]:
        step = max(round(size * (1 - self.overlap)), 1)
        return [*range(0, length - size, step), length - size]
