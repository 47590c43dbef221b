"""What is read of many or large files, and numbers that masks hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.errors import InputError

T = TypeVar("T")

MOST_VALUES = 64  # that masks hold; photos have more
_WINDOW = 1024
_ROWS = 1024


def spread(files: Sequence[T], count: int) -> Sequence[T]:
    """Return at most ``count`` files, spread evenly."""
    if len(files) <= count:
        return files
    return [files[i * len(files) // count] for i in range(count)]


def codes(colors: np.ndarray) -> np.ndarray:
    """Return colours (H, W, 3) as numbers 0xRRGGBB."""
    wide = colors.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def first_window(path: Path) -> Window | None:
    """Return a window in the middle of a raster; None for other files, which are read whole."""
    if not is_raster(path):
        return None
    height, width = image_size(path)
    rows, columns = min(height, _WINDOW), min(width, _WINDOW)
    return Window((height - rows) // 2, (width - columns) // 2, rows, columns)


def strips(path: Path) -> list[Window | None]:
    """Return windows that cover a raster; None for other files, which are read whole."""
    if not is_raster(path):
        return [None]
    height, width = image_size(path)
    return [Window(row, 0, min(_ROWS, height - row), width) for row in range(0, height, _ROWS)]


def refuse_fractions(path: Path, mask: np.ndarray) -> None:
    """Raise unless a mask holds whole numbers."""
    if not np.issubdtype(mask.dtype, np.integer):
        raise InputError(
            f"{path}: the mask holds {mask.dtype}, but class numbers are whole. Save the masks "
            "with 8 or 16 bits."
        )
