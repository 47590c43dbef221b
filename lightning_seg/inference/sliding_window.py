"""A network over an image larger than it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from lightning_seg.inference.stitching import Stitching
from lightning_seg.inference.window_layout import Weighting, WindowLayout


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
        layout = self.layout(*image.shape[-2:])
        margins = [
            (before, whole - before - length)
            for before, whole, length in zip(
                layout.origin, layout.continued, layout.image, strict=True
            )
        ]
        padded = _continue(_continue(image, -2, margins[0]), -1, margins[1])
        height, width = self.size
        results = []
        for one in padded:
            stitching = Stitching(layout, layout.weight(image.device), rows=layout.continued[0])
            for corners in layout.batches:
                crops = [one[:, y : y + height, x : x + width] for y, x in corners]
                stitching.add(function(torch.stack(crops)), corners)
            results.append(stitching.take(layout.continued[0])[1])
        if len(results) == 1:  # without another copy of what may be large
            return {name: maps[None] for name, maps in results[0].items()}
        return {name: torch.stack([maps[name] for maps in results]) for name in results[0]}

    def layout(self, height: int, width: int) -> WindowLayout:
        """Where the windows lie over an image of this size."""
        rows, columns = (max(round(side * (1 - self.overlap)), 1) for side in self.size)
        size = (height, width)
        return WindowLayout(
            size, self.size, (rows, columns), self.padding, self.batch_size, self.weighting
        )


def _continue(image: Tensor, dim: int, margins: tuple[int, int]) -> Tensor:
    """Reflects a dimension at both ends, back and forth where the margin is longer than it."""
    before, after = margins
    if before == after == 0:
        return image
    length = image.shape[dim]
    period = max(2 * (length - 1), 1)
    index = torch.arange(-before, length + after, device=image.device) % period
    return image.index_select(dim, torch.minimum(index, period - index).clamp(max=length - 1))
