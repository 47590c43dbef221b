"""An image read from top to bottom, of which only some rows are kept."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.tiff import NeedsRasterio, Window, is_raster, rows_decoded_at_once

_LEAST_ROWS = 64


class RowReader:
    """The rows of one image that are asked for.

    TIFF rasters are read some rows at a time, as they are stored, and each row once if later calls
    ask for no earlier row; other formats, and compressions that need rasterio where that is not
    installed, are read whole and kept.

    Args:
        path: An image.
        read: Reads a window of it (all of it for None) as (rows, columns, channels).
        reduction: How many times smaller than the file what is read is; windows, too, are of the
            smaller image.

    Raises:
        InputError: The file is missing or is not an image.
    """

    def __init__(
        self, path: Path, read: Callable[[Window | None], np.ndarray], reduction: int = 1
    ) -> None:
        self.height, self.width = (side // reduction for side in image_size(path))
        self._read = read
        self._by_rows = is_raster(path)
        self._first = 0
        self._rows = np.empty(0)
        if self._by_rows:
            stored = rows_decoded_at_once(path)
            unit = stored // math.gcd(stored, reduction)
            self._unit = -(-_LEAST_ROWS // unit) * unit

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last``, exclusively, as (rows, width, channels).

        Raises:
            InputError: The file cannot be read, or has another number of channels.
        """
        if self._by_rows:
            try:
                self._move(first, last)
            except NeedsRasterio:  # for a window, perhaps not for all
                self._by_rows, self._rows = False, np.empty(0)
        if not self._by_rows and not len(self._rows):
            self._first, self._rows = 0, self._read(None)
        return self._rows[first - self._first : last - self._first]

    def _move(self, first: int, last: int) -> None:
        """Reads the rows that are missing, to the end of a block, and drops those above."""
        there = self._first + len(self._rows)
        if first < self._first or first > there or not len(self._rows):
            self._first, self._rows, there = first, np.empty(0), first
        if last <= there:
            return
        end = min(-(-last // self._unit) * self._unit, self.height)
        rows = self._read(Window(there, 0, end - there, self.width))
        kept = self._rows[first - self._first :]
        self._rows = np.concatenate([kept, rows]) if len(kept) else rows
        self._first = first
