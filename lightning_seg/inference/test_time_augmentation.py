"""Test-time augmentation: average over resized, flipped and rotated copies of an image."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from lightning_seg.inference.sliding_window import SlidingWindow

Function = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Average a function's results over resized, flipped and rotated copies of an image.

    Runs every combination of scale, flip and rotation, one after the other, and transforms each
    result back before averaging. Class probabilities (``logits``) are averaged over all copies.
    Other maps are averaged only over copies at the scale nearest to 1, because distances in pixels
    depend on the scale.

    Args:
        scales: Scale factors, ``(0.5, 0.75, 1.0, 1.25, 1.5, 1.75)`` in EPL (Yin et al. 2022).
        flip: Add horizontally flipped copies.
        quarter_turns: Add copies rotated by 90, 180 and 270 degrees, useful for aerial images.
        window: Sliding window for every copy; by default each copy is processed whole.

    Raises:
        ValueError: If there is no scale, or one is not positive and finite.
    """

    __test__ = False  # keeps pytest from collecting the class

    scales: Sequence[float] = (1.0,)
    flip: bool = False
    quarter_turns: bool = False
    window: SlidingWindow | None = None

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(
                f"scales is {list(self.scales)}, but must hold at least one factor, each positive "
                "and finite"
            )

    def __call__(self, function: Function, image: Tensor) -> dict[str, Tensor]:
        """Return the averaged maps.

        Args:
            function: Maps (N, C, H', W') to maps (N, C', H', W') by name. They are averaged as
                they are, so return probabilities under ``logits``.
            image: (B, C, H, W).

        Returns:
            Maps (B, C', H, W) by name.
        """
        size = image.shape[-2:]
        nearest = min(self.scales, key=lambda scale: abs(math.log(scale)))
        means: dict[str, Tensor] = {}
        seen: dict[str, int] = {}
        for scale in self.scales:
            scaled = resize(image, [max(round(side * scale), 1) for side in size])
            for turns, mirrored in self._views():
                view = (scaled.flip(-1) if mirrored else scaled).rot90(turns, (-2, -1))
                for name, maps in self._run(function, view).items():
                    if name != "logits" and scale != nearest:
                        continue
                    back = maps.rot90(-turns, (-2, -1))
                    back = resize(back.flip(-1) if mirrored else back, size)
                    seen[name] = seen.get(name, 0) + 1
                    # Running mean; identical inputs give exactly that value.
                    mean = means.get(name, back)
                    means[name] = mean + (back - mean) / seen[name]
        return means

    def _views(self) -> Iterator[tuple[int, bool]]:
        for turns in range(4 if self.quarter_turns else 1):
            for mirrored in (False, True) if self.flip else (False,):
                yield turns, mirrored

    def _run(self, function: Function, view: Tensor) -> dict[str, Tensor]:
        return function(view) if self.window is None else self.window(function, view)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, C, H, W) bilinearly; maps of that size are returned unchanged."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
