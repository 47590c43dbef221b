"""Values at the borders of classes, in masks that were resampled or drawn with smooth edges."""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import numpy as np

_FEWEST = 3  # blends of two classes; a single value may be a class between them
_THIN = 0.1  # share of a value's pixels at whose lower right are three more of it
_ROUNDING = 2


def blended_values(pixels: Counter[int], parts: Iterable[np.ndarray], in_colors: bool) -> set[int]:
    """Return the values that are blends of others; none unless there are several.

    Blends lie on thin lines: hardly any square of 2 x 2 pixels holds one alone. Several lie between
    the values of two areas.

    Args:
        pixels: Number of pixels of each value.
        parts: The masks that hold them, (H, W).
        in_colors: Values are 0xRRGGBB, not numbers.
    """
    if len(pixels) < _FEWEST + 2:
        return set()
    squares: Counter[int] = Counter()
    for part in parts:
        corner = part[:-1, :-1]
        alone = (corner == part[1:, :-1]) & (corner == part[:-1, 1:]) & (corner == part[1:, 1:])
        values, counts = np.unique(corner[alone], return_counts=True)
        squares.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    thin = [value for value, count in pixels.items() if squares[value] < _THIN * count]
    areas = sorted(pixels.keys() - set(thin))
    if len(areas) < 2 or len(thin) < _FEWEST:
        return set()
    lines, ends = _positions(thin, in_colors), _positions(areas, in_colors)
    between = np.zeros(len(thin), bool)
    for one, other in combinations(ends, 2):
        along = (lines - one) @ (other - one) / ((other - one) ** 2).sum()
        nearest = one + along[:, None] * (other - one)
        between |= (along > 0) & (along < 1) & (abs(lines - nearest) <= _ROUNDING).all(axis=1)
    if between.sum() < _FEWEST:
        return set()
    # Where more than two classes meet, blends lie between all of them.
    inside = (lines >= ends.min(axis=0)) & (lines <= ends.max(axis=0))
    return {value for value, is_inside in zip(thin, inside.all(axis=1), strict=True) if is_inside}


def _positions(values: list[int], in_colors: bool) -> np.ndarray:
    """Return numbers (N, 1), or colours (N, 3)."""
    numbers = np.array(values, np.float64)[:, None]
    return numbers // (65536, 256, 1) % 256 if in_colors else numbers
