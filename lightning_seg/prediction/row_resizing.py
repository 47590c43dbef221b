"""Maps resized while their rows come in."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_ROWS = 64


class RowResizing:
    """Resizes maps bilinearly without holding more than some rows of them.

    Gives what `torch.nn.functional.interpolate` gives of the whole maps (``align_corners=False``),
    but for rounding; maps that have their size already come out as they are.

    Args:
        size: Height and width of the maps that come in.
        to: Those of the maps that come out.
        first_in: The first row that comes in.
        first_out: The first row that comes out, which needs no row above ``first_in``.
    """

    def __init__(
        self, size: tuple[int, int], to: tuple[int, int], first_in: int = 0, first_out: int = 0
    ) -> None:
        self._size = size
        self._to = to
        self._scale = size[0] / to[0]
        self._kept = torch.empty(0)
        self._first = first_in  # of the rows that are kept
        self._next = first_out

    def add(self, rows: Tensor) -> Iterator[Tensor]:
        """Takes rows (C, rows, W) below those before; gives all (C, rows, W') that they finish."""
        if self._size == self._to:
            yield rows
            return
        self._kept = torch.cat([self._kept, rows], dim=1) if self._kept.ndim == 3 else rows
        while (stop := min(self._next + _MOST_ROWS, self._finished())) > self._next:
            yield self._resized(self._next, stop)
            self._next = stop
        done = min(int(self._above(self._next)) - self._first, self._kept.shape[1])
        self._kept = self._kept[:, done:].clone()
        self._first += done

    def _above(self, row: int | Tensor) -> Tensor:
        """Where a row that comes out lies among those that come in."""
        return ((torch.as_tensor(row, dtype=torch.float64) + 0.5) * self._scale - 0.5).clamp(min=0)

    def _finished(self) -> int:
        """First row that rows still to come have a part in."""
        there = self._first + self._kept.shape[1]
        rows, rows_out = self._size[0], self._to[0]
        if there == rows:
            return rows_out
        # What lies below the middle of the last row there lies partly on the next: here, and
        # rounded up, (there - 1 / 2) * rows_out / rows - 1 / 2.
        return max(-(((1 - 2 * there) * rows_out + rows) // (2 * rows)), self._next)

    def _resized(self, start: int, stop: int) -> Tensor:
        place = self._above(torch.arange(start, stop))
        above = place.long()
        # Not the next row where a row lies on this one, for it may still have to come.
        below = (above + (place > above)).clamp(max=self._size[0] - 1)
        share = (place - above).to(self._kept)[:, None]
        upper, lower = (
            self._kept.index_select(1, (rows - self._first).to(self._kept.device))
            for rows in (above, below)
        )
        mixed = upper + (lower - upper) * share
        return F.interpolate(
            mixed[None], size=(stop - start, self._to[1]), mode="bilinear", align_corners=False
        )[0]
