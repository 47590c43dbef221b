"""Reader of an image from top to bottom that keeps only a few rows in memory."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.tiff import NeedsRasterio, Window, is_raster, rows_decoded_at_once

_LEAST_ROWS = 64


class RowReader:
    """Reader of row ranges of one image.

    TIFFs are read a few strips or tiles at a time, and each row once as long as row ranges move
    downward. Other formats, and TIFF compressions that need rasterio when it is not installed, are
    read whole and kept.

    Args:
        path: An image.
        read: Returns a window of the image (all of it for None) as (rows, columns, channels).
        downscale: Factor by which ``read`` downscales the file; windows refer to the smaller image.

    Raises:
        InputError: The file is missing or is not an image.
    """

    def __init__(
        self, path: Path, read: Callable[[Window | None], np.ndarray], downscale: int = 1
    ) -> None:
        self.height, self.width = (side // downscale for side in image_size(path))
        self._read = read
        self._by_rows = is_raster(path)
        self._first = 0
        self._rows = np.empty(0)
        if self._by_rows:
            stored = rows_decoded_at_once(path)
            unit = stored // math.gcd(stored, downscale)
            self._unit = -(-_LEAST_ROWS // unit) * unit

    def read(self, first: int, last: int) -> np.ndarray:
        """Return rows ``first`` to ``last - 1`` as (rows, width, channels)."""
        if self._by_rows:
            try:
                self._move(first, last)
            except NeedsRasterio:  # the whole image may be readable without it
                self._by_rows, self._rows = False, np.empty(0)
        if not self._by_rows and not len(self._rows):
            self._first, self._rows = 0, self._read(None)
        return self._rows[first - self._first : last - self._first]

    def _move(self, first: int, last: int) -> None:
        """Read the missing rows, up to the end of a block, and drop the rows above ``first``."""
        stop = self._first + len(self._rows)
        if first < self._first or first > stop or not len(self._rows):
            self._first, self._rows, stop = first, np.empty(0), first
        if last <= stop:
            return
        end = min(-(-last // self._unit) * self._unit, self.height)
        rows = self._read(Window(stop, 0, end - stop, self.width))
        kept = self._rows[first - self._first :]
        self._rows = np.concatenate([kept, rows]) if len(kept) else rows
        self._first = first
