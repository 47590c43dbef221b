"""Evaluation regions of rasters, and training crops that do not touch them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError

Region = tuple[float, float, float, float]


def check_regions(regions: Mapping[str, Region]) -> None:
    """Raise unless all regions are valid and none overlap.

    Args:
        regions: Top, left, bottom and right as fractions of height and width, by setting name.
    """
    for setting, region in regions.items():
        if len(region) != 4 or not _is_within(region):
            raise InputError(
                f"{setting} is {list(region)}, but top, left, bottom and right are expected as "
                "fractions of each raster's height and width, such as [0.75, 0.75, 1.0, 1.0] for "
                "the lower right sixteenth."
            )
    (first, *others) = regions or [""]
    for other in others:
        top, left = (max(a, b) for a, b in zip(regions[first][:2], regions[other][:2], strict=True))
        bottom, right = (
            min(a, b) for a, b in zip(regions[first][2:], regions[other][2:], strict=True)
        )
        if top < bottom and left < right:
            raise InputError(
                f"{first} {list(regions[first])} and {other} {list(regions[other])} overlap. Move "
                "one of them."
            )


def parts_of(pairs: Iterable[Pair], region: Region, reader: PairReader) -> list[Pair]:
    """Return the part of each raster that lies in a region."""
    return [replace(pair, part=_window(region, reader.whole_size(pair))) for pair in pairs]


def without_parts(
    pairs: Iterable[Pair], regions: Sequence[Region], reader: PairReader
) -> list[Pair]:
    """Return each raster without the regions."""
    return [
        replace(pair, without=tuple(_window(region, reader.whole_size(pair)) for region in regions))
        for pair in pairs
    ]


class FreeCorners:
    """Valid upper left corners of crops that touch no excluded part.

    Args:
        size: Height and width of the raster.
        crop: Height and width of the crop; no larger than the raster.
        without: The excluded parts.
    """

    def __init__(
        self, size: tuple[int, int], crop: tuple[int, int], without: Sequence[Window] = ()
    ) -> None:
        self._corners = size[0] - crop[0] + 1, size[1] - crop[1] + 1
        self._taken = [
            (
                range(max(part.row - crop[0] + 1, 0), part.row + part.height),
                range(max(part.column - crop[1] + 1, 0), part.column + part.width),
            )
            for part in without
        ]

    def __contains__(self, corner: tuple[int, int]) -> bool:
        row, column = corner
        return not any(row in rows and column in columns for rows, columns in self._taken)

    @property
    def count(self) -> int:
        """Number of valid corners."""
        return int(self._areas.sum())

    def draw(self, random: np.random.Generator) -> tuple[int, int]:
        """Draw a corner uniformly."""
        cell = 0
        if len(self._cells) > 1:
            cell = int(random.choice(len(self._cells), p=self._areas / self._areas.sum()))
        rows, columns = self._cells[cell]
        row, column = (
            random.integers(rows.start, rows.stop),
            random.integers(columns.start, columns.stop),
        )
        return int(row), int(column)

    def on_grid(self, stride: int) -> list[tuple[int, int]]:
        """Return all corners whose rows and columns are multiples of a stride."""
        height, width = self._corners
        return [
            (row, column)
            for row in range(0, height, stride)
            for column in range(0, width, stride)
            if (row, column) in self
        ]

    @cached_property
    def _cells(self) -> list[tuple[range, range]]:
        """Disjoint rectangles that together cover all valid corners."""
        height, width = self._corners
        rows, columns = {0, height}, {0, width}
        for taken in self._taken:
            for cuts, span, length in zip((rows, columns), taken, self._corners, strict=True):
                cuts |= {min(span.start, length), min(span.stop, length)}
        return [
            (range(*down), range(*across))
            for down in pairwise(sorted(rows))
            for across in pairwise(sorted(columns))
            if (down[0], across[0]) in self
        ]

    @cached_property
    def _areas(self) -> np.ndarray:
        return np.array([len(rows) * len(columns) for rows, columns in self._cells])


def _is_within(region: Region) -> bool:
    top, left, bottom, right = region
    return 0 <= top < bottom <= 1 and 0 <= left < right <= 1


def _window(region: Region, size: tuple[int, int]) -> Window:
    (top, left), (bottom, right) = (
        tuple(round(share * side) for share, side in zip(shares, size, strict=True))
        for shares in (region[:2], region[2:])
    )
    return Window(top, left, max(bottom - top, 1), max(right - left, 1))
