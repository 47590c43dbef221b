"""Potential fields: class maps summed along directions (Yin et al. 2022, section III-B).

Two facts make them cheap. A direction and its opposite see the same sums, of ``r + 1`` pixels in
a row, at a sum's one end or its other. And in padded maps that are laid flat a step in any
direction is one fixed offset, so the same few additions of shifted arrays serve every direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Splitter = Literal["A", "B", "C", "standard"]
Padding = Literal["replicate", "constant"]

_AXES = {
    "A": ((1, 0), (0, 1)),
    "B": ((1, 1), (1, -1)),
    "C": ((1, 0), (0, 1), (1, 1), (1, -1)),
}
OUTSIDE = -1


@dataclass(frozen=True)
class Sweep:
    """Sums of pixels that lie in a row (or, for the standard convolution, in a square).

    Args:
        runs: Vectors (dy, dx) and the number of pixels summed along each, one after the other.
        starts: For each direction, where a pixel's sum begins, as (dy, dx) from the pixel.
        maximum: Number of pixels in a sum.
    """

    runs: tuple[tuple[int, int, int], ...]
    starts: tuple[tuple[int, int], ...]
    maximum: int


def sweeps_of(kernel_size: int, splitter: Splitter) -> tuple[Sweep, ...]:
    """The sweeps that hold every direction of ``splitter``.

    Raises:
        ValueError: For an even or non-positive kernel, one that is no integer, and an unknown
            splitter.
    """
    if not isinstance(kernel_size, int):
        raise ValueError(f"kernel_size is {kernel_size!r}: it must be an odd and positive integer.")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size is {kernel_size}: it must be odd and positive, for it reaches "
            f"kernel_size // 2 pixels to each side. Try {max(kernel_size, 0) + 1}."
        )
    reach = kernel_size // 2
    if splitter == "standard":
        runs = ((1, 0, kernel_size), (0, 1, kernel_size))
        return (Sweep(runs, ((-reach, -reach),), kernel_size**2),)
    if splitter not in _AXES:
        known = ", ".join(repr(name) for name in (*_AXES, "standard"))
        raise ValueError(f"splitter is {splitter!r}: it must be one of {known}.")
    return tuple(
        Sweep(((dy, dx, reach + 1),), ((-reach * dy, -reach * dx), (0, 0)), reach + 1)
        for dy, dx in _AXES[splitter]
    )


def directions_in(sweeps: Sequence[Sweep]) -> int:
    """Number of directions, |S|."""
    return sum(len(sweep.starts) for sweep in sweeps)


def check_padding(padding: str) -> None:
    """Raises ValueError for anything but "replicate" and "constant"."""
    if padding not in ("replicate", "constant"):
        raise ValueError(f"padding is {padding!r}: it must be 'replicate' or 'constant'.")


@dataclass(frozen=True)
class Plane:
    """How (R, H, W) maps are padded and laid flat.

    A window of ``height * row`` entries of a flat map holds one value a pixel, and
    ``row - width`` entries after each of the image's rows that belong to no pixel.
    """

    height: int
    width: int
    reach: int
    padding: Padding

    @property
    def row(self) -> int:
        """Entries from one row to the next."""
        return self.width + 2 * self.reach

    def flatten(self, maps: Tensor) -> Tensor:
        """(R, H, W) to (R, length), padded; one row more than needed keeps every window inside."""
        reach = self.reach
        mode = self.padding if reach else "constant"
        return F.pad(maps, (reach, reach, reach, reach + 1), mode=mode).flatten(1)

    def flatten_labels(self, labels: Tensor) -> Tensor:
        """As `flatten`, for (B, H, W) integers; constant padding belongs to no class."""
        reach = self.reach
        if self.padding == "constant":
            return F.pad(labels, (reach, reach, reach, reach + 1), value=OUTSIDE).flatten(1)
        y, x = (
            torch.arange(-reach, size + reach + extra, device=labels.device).clamp(0, size - 1)
            for size, extra in ((self.height, 1), (self.width, 0))
        )
        return labels[:, y[:, None], x].flatten(1)

    def window_of(self, mask: Tensor) -> Tensor:
        """(B, H, W) bool to (B, height * row), False where there is no pixel."""
        return F.pad(mask, (0, 2 * self.reach)).flatten(1)

    def unflatten_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to flat maps (R, length) to the one of the (R, H, W) maps.

        Changes ``gradient``.
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
        """Where the sums that begin at ``start`` from each pixel are in `sweep_sums`."""
        first = (self.reach + start[0]) * self.row + self.reach + start[1]
        return slice(first, first + self.height * self.row)

    def sweep_sums(self, flat: Tensor, sweep: Sweep) -> Tensor:
        """Flat maps (R, length) to the sums that begin at each entry, (R, shorter)."""
        for dy, dx, terms in sweep.runs:
            flat = _run_sums(flat, dy * self.row + dx, terms)
        return flat

    def sweep_gradient(self, gradient: Tensor, sweep: Sweep) -> Tensor:
        """The transpose of `sweep_sums`, which again is a sum of shifted maps."""
        for dy, dx, terms in reversed(sweep.runs):
            step = dy * self.row + dx
            ends = (terms - 1) * step
            gradient = _run_sums(F.pad(gradient, (ends, ends)), step, terms)
        return gradient


def _run_sums(flat: Tensor, step: int, terms: int) -> Tensor:
    """``flat[:, i] + flat[:, i + step] + ...`` of ``terms`` terms, by doubling."""
    sums, done = flat, 1
    for bit in f"{terms:b}"[1:]:
        sums = sums[:, : -done * step] + sums[:, done * step :]
        done *= 2
        if bit == "1":
            sums = sums[:, :-step] + flat[:, done * step :]
            done += 1
    return sums


def anisotropic_convolution(
    fields: Tensor,
    kernel_size: int = 7,
    splitter: Splitter = "A",
    padding: Padding = "replicate",
) -> Tensor:
    """The potential of each pixel in each direction (Yin et al. 2022, equation 2).

    ``E_s(p) = sum of x(p + t s) for t = 0..r`` with ``r = kernel_size // 2``: the pixel itself
    counts, so maps in [0, 1] have potentials in [0, r + 1].

    Args:
        fields: (B, K, H, W) floating point, probabilities or one-hot labels.
        kernel_size: Odd; the potential reaches ``kernel_size // 2`` pixels.
        splitter: "A" is up, down, left, right; "B" up-left, down-right, up-right, down-left; "C"
            A and then B; "standard" the paper's ablation with one convolution of a whole square,
            scaled to the same range.
        padding: Beyond the image's border, "replicate" its last pixels or a "constant" 0.

    Returns:
        (S, B, K, H, W) of the same dtype, differentiable.

    Raises:
        ValueError: For an even kernel, an unknown splitter or padding.
    """
    check_padding(padding)
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
    """Potential of one pixel of a sum: 1 along directions, and less in a square."""
    return (kernel_size // 2 + 1) / sweep.maximum
