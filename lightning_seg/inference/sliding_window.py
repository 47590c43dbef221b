"""Sliding-window inference on images larger than the training crops."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.inference.stitching import Stitching
from lightning_seg.inference.window_layout import Weighting, WindowLayout, reflected


@dataclass(frozen=True)
class SlidingWindow:
    """Run a function over overlapping windows and average the results.

    Windows lie on a regular grid. The last row and column are shifted back to the image border, so
    every pixel is covered. Each output pixel is the mean over the windows that cover it; identical
    inputs give exactly that value. Images smaller than the window are padded by reflection and
    cropped back.

    Args:
        size: Height and width of the window in pixels.
        overlap: Fraction of the window shared with the next one, in [0, 1); 0.75 in Audebert et
            al. (2019) and ResUNet-a (2020).
        batch_size: Windows per call.
        padding: Reflection padding on every side in pixels, so that as many windows cover the
            border as the centre; 128 in ResUNet-a.
        weighting: ``uniform``, or ``gaussian``, which gives more weight to pixels near the centre
            of a window, where there is more context (standard deviation one eighth of the window,
            as in nnU-Net).

    Raises:
        ValueError: If the size or batch size is below 1, the overlap outside [0, 1), the padding
            negative or the weighting unknown.
    """

    size: tuple[int, int]
    overlap: float = 0.25
    batch_size: int = 4
    padding: int = 0
    weighting: Weighting = "uniform"

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size is {self.size}, but must be at least 1 x 1 pixels")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, but must lie in [0, 1)")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, but must be at least 1")
        if self.padding < 0:
            raise ValueError(f"padding is {self.padding}, but must be 0 pixels or more")
        check_choice("weighting", self.weighting, Weighting)

    def __call__(
        self, function: Callable[[Tensor], dict[str, Tensor]], image: Tensor
    ) -> dict[str, Tensor]:
        """Return the averaged maps for whole images.

        Args:
            function: Maps (N, C, *size) to maps (N, C', *size) by name. They are averaged as they
                are, so return probabilities rather than logits.
            image: (B, C, H, W).

        Returns:
            Maps (B, C', H, W) by name.
        """
        layout = self.layout(*image.shape[-2:])
        margins = [
            (before, whole - before - length)
            for before, whole, length in zip(
                layout.origin, layout.padded_size, layout.image, strict=True
            )
        ]
        padded = _pad(_pad(image, -2, margins[0]), -1, margins[1])
        height, width = self.size
        results = []
        for single in padded:
            stitching = Stitching(layout, layout.weight(image.device), rows=layout.padded_size[0])
            for corners in layout.batches:
                crops = [single[:, y : y + height, x : x + width] for y, x in corners]
                stitching.add(function(torch.stack(crops)), corners)
            results.append(stitching.take(layout.padded_size[0])[1])
        if len(results) == 1:  # avoid a copy of possibly large maps
            return {name: maps[None] for name, maps in results[0].items()}
        return {name: torch.stack([maps[name] for maps in results]) for name in results[0]}

    def layout(self, height: int, width: int) -> WindowLayout:
        """Return the window layout for an image of this size."""
        rows, columns = (max(round(side * (1 - self.overlap)), 1) for side in self.size)
        size = (height, width)
        return WindowLayout(
            size, self.size, (rows, columns), self.padding, self.batch_size, self.weighting
        )


def _pad(image: Tensor, dim: int, margins: tuple[int, int]) -> Tensor:
    """Pad a dimension by reflection at both ends."""
    before, after = margins
    if before == after == 0:
        return image
    length = image.shape[dim]
    index = reflected(-before, before + length + after, length, image.device)
    return image.index_select(dim, index)
