"""Potential fields: class maps summed along directions (Yin et al. 2022, section III-B).

Two facts make them cheap. Opposite directions share the same sums of ``r + 1`` pixels in a row,
read from one end or the other. In flattened padded maps a step in any direction is a fixed offset,
so a few additions of shifted arrays serve every direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import check_choice

Splitter = Literal["A", "B", "C", "standard"]
Padding = Literal["replicate", "constant"]

_AXES = {"A": ((1, 0), (0, 1)), "B": ((1, 1), (1, -1)), "C": ((1, 0), (0, 1), (1, 1), (1, -1))}
OUTSIDE = -1


@dataclass(frozen=True)
class Sweep:
    """Sums of pixels in a row or, for the standard convolution, in a square.

    Args:
        runs: Vectors (dy, dx) and the number of pixels to sum along each, applied in order.
        starts: For each direction, the start of a pixel's sum as an offset (dy, dx) from the pixel.
        maximum: Number of pixels in a sum.
    """

    runs: tuple[tuple[int, int, int], ...]
    starts: tuple[tuple[int, int], ...]
    maximum: int


def sweeps_of(kernel_size: int, splitter: Splitter) -> tuple[Sweep, ...]:
    """Return the sweeps that cover every direction, or raise ValueError for invalid arguments."""
    check_choice("splitter", splitter, Splitter)
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size is {kernel_size!r}: it must be odd and positive, because it reaches "
            "kernel_size // 2 pixels to each side."
        )
    reach = kernel_size // 2
    if splitter == "standard":
        runs = ((1, 0, kernel_size), (0, 1, kernel_size))
        return (Sweep(runs, ((-reach, -reach),), kernel_size**2),)
    return tuple(
        Sweep(((dy, dx, reach + 1),), ((-reach * dy, -reach * dx), (0, 0)), reach + 1)
        for dy, dx in _AXES[splitter]
    )


def directions_in(sweeps: Sequence[Sweep]) -> int:
    """Number of directions, |S|."""
    return sum(len(sweep.starts) for sweep in sweeps)


@dataclass(frozen=True)
class Plane:
    """Layout of padded and flattened (R, H, W) maps.

    A window of ``height * row`` entries of a flat map holds one value per pixel, with ``row -
    width`` unused entries after each image row.
    """

    height: int
    width: int
    reach: int
    padding: Padding

    @property
    def row(self) -> int:
        """Number of entries from one row to the next."""
        return self.width + 2 * self.reach

    def flatten(self, maps: Tensor) -> Tensor:
        """Pad and flatten (R, H, W) to (R, length); a spare row keeps every window inside."""
        reach = self.reach
        mode = self.padding if reach else "constant"
        return F.pad(maps, (reach, reach, reach, reach + 1), mode=mode).flatten(1)

    def flatten_labels(self, labels: Tensor) -> Tensor:
        """Pad and flatten (B, H, W) labels like `flatten`; constant padding is no class."""
        reach = self.reach
        if self.padding == "constant":
            return F.pad(labels, (reach, reach, reach, reach + 1), value=OUTSIDE).flatten(1)
        y, x = (
            torch.arange(-reach, size + reach + extra, device=labels.device).clamp(0, size - 1)
            for size, extra in ((self.height, 1), (self.width, 0))
        )
        return labels[:, y[:, None], x].flatten(1)

    def window_of(self, mask: Tensor) -> Tensor:
        """Flatten (B, H, W) bool to a window (B, height * row), False at unused entries."""
        return F.pad(mask, (0, 2 * self.reach)).flatten(1)

    def unflatten_gradient(self, gradient: Tensor) -> Tensor:
        """Turn the gradient of flat maps (R, length) into that of the (R, H, W) maps.

        Modifies ``gradient`` in place.
        """
        reach, bottom, right = self.reach, self.reach + self.height, self.reach + self.width
        padded = gradient.unflatten(1, (-1, self.row))
        if self.padding == "replicate" and reach:
            padded[:, reach] += padded[:, :reach].sum(1)
            padded[:, bottom - 1] += padded[:, bottom:].sum(1)
            padded[:, :, reach] += padded[:, :, :reach].sum(2)
            padded[:, :, right - 1] += padded[:, :, right:].sum(2)
        return padded[:, reach:bottom, reach:right]

    def window(self, start: tuple[int, int]) -> slice:
        """Slice of `sweep_sums` that holds each pixel's sum beginning at offset ``start``."""
        first = (self.reach + start[0]) * self.row + self.reach + start[1]
        return slice(first, first + self.height * self.row)

    def sweep_sums(self, flat: Tensor, sweep: Sweep) -> Tensor:
        """Return the sums beginning at each entry of flat maps (R, length), (R, shorter)."""
        for dy, dx, terms in sweep.runs:
            flat = _run_sums(flat, dy * self.row + dx, terms)
        return flat

    def sweep_gradient(self, gradient: Tensor, sweep: Sweep) -> Tensor:
        """Apply the transpose of `sweep_sums`, again a sum of shifted maps."""
        for dy, dx, terms in reversed(sweep.runs):
            step = dy * self.row + dx
            ends = (terms - 1) * step
            gradient = _run_sums(F.pad(gradient, (ends, ends)), step, terms)
        return gradient


def _run_sums(flat: Tensor, step: int, terms: int) -> Tensor:
    """Return ``flat[:, i] + flat[:, i + step] + ...`` with ``terms`` terms, by doubling."""
    sums, done = flat, 1
    for bit in f"{terms:b}"[1:]:
        sums = sums[:, : -done * step] + sums[:, done * step :]
        done *= 2
        if bit == "1":
            sums = sums[:, :-step] + flat[:, done * step :]
            done += 1
    return sums


def anisotropic_convolution(
    fields: Tensor, kernel_size: int = 7, splitter: Splitter = "A", padding: Padding = "replicate"
) -> Tensor:
    """Return the potential of each pixel in each direction (Yin et al. 2022, equation 2).

    ``E_s(p) = sum of x(p + t s) for t = 0..r`` with ``r = kernel_size // 2``: the pixel itself
    is included, so maps in [0, 1] have potentials in [0, r + 1].

    Args:
        fields: (B, K, H, W) floating point, probabilities or one-hot labels.
        kernel_size: Odd; the potential reaches ``kernel_size // 2`` pixels.
        splitter: "A" is up, down, left, right; "B" up-left, down-right, up-right, down-left; "C"
            A followed by B; "standard" is the paper's ablation, one convolution over a square,
            scaled to the same range.
        padding: "replicate" repeats the border pixels, "constant" pads with 0.

    Returns:
        (S, B, K, H, W) of the same dtype, differentiable.

    Raises:
        ValueError: An even kernel, an unknown splitter or padding.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import anisotropic_convolution
        >>> field = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
        >>> anisotropic_convolution(field, kernel_size=3)[:, 0, 0, 0]  # up, down, left, right
        tensor([[0., 0., 2., 2.],
                [0., 0., 2., 2.],
                [0., 0., 1., 2.],
                [0., 1., 2., 2.]])
    """
    check_choice("padding", padding, Padding)
    batch, channels, height, width = fields.shape
    sweeps = sweeps_of(kernel_size, splitter)
    plane = Plane(height, width, kernel_size // 2, padding)
    flat = plane.flatten(fields.flatten(0, 1))
    potentials = []
    for sweep in sweeps:
        sums = plane.sweep_sums(flat, sweep) * scale_of(sweep, kernel_size)
        for start in sweep.starts:
            window = sums[:, plane.window(start)].unflatten(1, (height, plane.row))
            potentials.append(window[..., :width].unflatten(0, (batch, channels)))
    return torch.stack(potentials)


def scale_of(sweep: Sweep, kernel_size: int) -> float:
    """Contribution of one pixel to a potential: 1 along a direction, less in a square."""
    return (kernel_size // 2 + 1) / sweep.maximum
