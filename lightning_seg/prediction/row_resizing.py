"""Bilinear resizing of maps whose rows arrive from top to bottom."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_ROWS = 64


class RowResizing:
    """Bilinear resizing that holds only a few rows in memory.

    The result equals `torch.nn.functional.interpolate` of the whole maps
    (``align_corners=False``) up to rounding. Maps that already have the output size are returned
    unchanged.

    Args:
        size: Height and width of the input maps.
        to: Height and width of the output maps.
        first_in: The first input row.
        first_out: The first output row; it must not need input rows above ``first_in``.
    """

    def __init__(
        self, size: tuple[int, int], to: tuple[int, int], first_in: int = 0, first_out: int = 0
    ) -> None:
        self._size = size
        self._to = to
        self._scale = size[0] / to[0]
        self._kept = torch.empty(0)
        self._first = first_in  # first row of ``_kept``
        self._next = first_out

    def add(self, rows: Tensor) -> Iterator[Tensor]:
        """Add input rows (C, rows, W) below the previous ones; yield output rows (C, rows, W')."""
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
        """Return the position of an output row among the input rows, as float64."""
        return ((torch.as_tensor(row, dtype=torch.float64) + 0.5) * self._scale - 0.5).clamp(min=0)

    def _finished(self) -> int:
        """Return the first output row that depends on input rows still to come."""
        stop = self._first + self._kept.shape[1]
        rows, rows_out = self._size[0], self._to[0]
        if stop == rows:
            return rows_out
        # Output rows below the centre of the last input row also depend on the next one. They
        # start at (stop - 1 / 2) * rows_out / rows - 1 / 2, rounded up.
        return max(-(((1 - 2 * stop) * rows_out + rows) // (2 * rows)), self._next)

    def _resized(self, start: int, stop: int) -> Tensor:
        position = self._above(torch.arange(start, stop))
        above = position.long()
        # An output row that lies exactly on an input row must not need the next one, which may
        # not have arrived.
        below = (above + (position > above)).clamp(max=self._size[0] - 1)
        share = (position - above).to(self._kept)[:, None]
        upper, lower = (
            self._kept.index_select(1, (rows - self._first).to(self._kept.device))
            for rows in (above, below)
        )
        mixed = upper + (lower - upper) * share
        return F.interpolate(
            mixed[None], size=(stop - start, self._to[1]), mode="bilinear", align_corners=False
        )[0]
