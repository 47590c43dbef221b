"""From label files to class masks: ids or colours in, 0..K-1 and 255 out."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lightning_seg.errors import InputError

IGNORE_INDEX = 255
Color = tuple[int, int, int]

_UNKNOWN = 254
_MOST_CLASSES = 254
_ROWS = 256

_reported: set[Path] = set()


@dataclass(frozen=True)
class IdLabels:
    """Labels that store one number a pixel.

    Args:
        values: The number that stands for each class, in the classes' order.
        ignored: Numbers that mean "not labelled"; they become 255.
        mend: What to do about a number that is neither; ends the error message.
    """

    values: tuple[int, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)
    mend: str = "Correct the label file."
    colors = False

    def __call__(
        self, label: np.ndarray, path: Path, origin: tuple[int, int] = (0, 0)
    ) -> np.ndarray:
        """Maps ids (H, W) of any integer type to a mask (H, W) uint8.

        Raises:
            InputError: A value is neither a class nor ignored; names file, value, place (``origin``
                is the window's upper left corner in the file), count and mend.
        """
        if not np.issubdtype(label.dtype, np.integer):
            raise InputError(
                f"{path}: class ids must be whole numbers, this file has {label.dtype}. "
                "Save it with 8 or 16 bits."
            )
        table = _id_table(self.values, self.ignored)
        mask = _by_rows(label, lambda part: table[_inside(part, len(table))])
        if (unknown := mask == _UNKNOWN).any():
            row, column = _first(unknown)
            raise InputError(
                f"{path}: label value {label[row, column]} at row {row + origin[0]}, column "
                f"{column + origin[1]} ({int(unknown.sum())} unknown pixels in all) is none of the "
                f"{len(self.values)} classes ({_ranges(self.values)}). "
                f"{_mend(self.mend, path)}"
            )
        return mask


@dataclass(frozen=True)
class ColorLabels:
    """Labels that paint each class in an RGB colour (0 to 255).

    Args:
        values: The colour of each class, in the classes' order.
        ignored: Colours that mean "not labelled"; they become 255.
        mend: What to do about a colour that is neither; ends the error message.
        tolerance: How far each of red, green and blue may be from a colour to count as it, for
            labels that were saved with losses. A warning gives the share of such pixels, once a
            file.
    """

    values: tuple[Color, ...]
    ignored: tuple[Color, ...] = ()
    mend: str = "Correct the label file."
    tolerance: int = 0
    colors = True

    def __call__(
        self, label: np.ndarray, path: Path, origin: tuple[int, int] = (0, 0)
    ) -> np.ndarray:
        """Maps colours (H, W, 3) uint8 to a mask (H, W) uint8.

        Raises:
            InputError: A colour is neither a class nor ignored; names file, colour, place
                (``origin`` is the window's upper left corner in the file), count and mend.
        """
        table = _color_table(self.values, self.ignored, self.tolerance)
        mask = _by_rows(label, lambda part: table[_codes(part)])
        if (unknown := mask == _UNKNOWN).any():
            row, column = _first(unknown)
            raise InputError(
                f"{path}: label colour {tuple(label[row, column].tolist())} at row "
                f"{row + origin[0]}, column {column + origin[1]} ({int(unknown.sum())} unknown "
                f"pixels in all) belongs to none of the {len(self.values)} classes. "
                f"{_mend(self.mend, path)}"
            )
        if self.tolerance and path not in _reported:
            self._report(label, path)
        return mask

    def _report(self, label: np.ndarray, path: Path) -> None:
        exact = _color_table(self.values, self.ignored, 0)
        moved = _by_rows(label, lambda part: exact[_codes(part)]) == _UNKNOWN
        if moved.any():
            _reported.add(path)
            row, column = _first(moved)
            warnings.warn(
                f"{path}: {moved.mean():.2%} of the pixels just read have nearly a class's colour, "
                f"for instance {tuple(label[row, column].tolist())}, and are taken for it.",
                stacklevel=2,
            )


LabelDecoder = IdLabels | ColorLabels


def distinct_colors(count: int) -> tuple[Color, ...]:
    """As many different RGB colours, by the PASCAL VOC palette rule (0 is black).

    The three lowest bits of each 3-bit group of the index go to R, G and B from bit 7 downward.
    """
    return tuple(_voc_color(index) for index in range(count))


def _voc_color(index: int) -> Color:
    channels = [0, 0, 0]
    for group in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * group + channel) & 1) << (7 - group)
    return channels[0], channels[1], channels[2]


@lru_cache(maxsize=8)
def _id_table(values: tuple[int, ...], ignored: tuple[int, ...]) -> np.ndarray:
    _check_values(values, ignored)
    if min((*values, *ignored)) < 0:
        raise InputError(f"Label values must not be negative: {sorted((*values, *ignored))[0]}.")
    return _table(max((*values, *ignored)) + 2, values, ignored)


@lru_cache(maxsize=4)
def _color_table(
    values: tuple[Color, ...], ignored: tuple[Color, ...], tolerance: int
) -> np.ndarray:
    # One byte for each of the 2^24 colours: one look-up a pixel, whatever the number of classes.
    _check_values(values, ignored)
    cube = np.full((256, 256, 256), _UNKNOWN, np.uint8)
    meanings = [*range(len(values)), *[IGNORE_INDEX] * len(ignored)]
    for color, meaning in zip((*values, *ignored), meanings, strict=True):
        near = cube[tuple(slice(max(part - tolerance, 0), part + tolerance + 1) for part in color)]
        if (near != _UNKNOWN).any():
            raise InputError(
                f"With a tolerance of {tolerance}, {color} cannot be told from another colour. "
                "Set a smaller tolerance."
            )
        near[:] = meaning
    return cube.reshape(-1)


def _table(size: int, values: Sequence[int], ignored: Sequence[int]) -> np.ndarray:
    table = np.full(size, _UNKNOWN, np.uint8)
    table[list(values)] = np.arange(len(values), dtype=np.uint8)
    table[list(ignored)] = IGNORE_INDEX
    return table


def _check_values(values: Sequence[object], ignored: Sequence[object]) -> None:
    everything = [*values, *ignored]
    if len(values) > _MOST_CLASSES:
        raise InputError(f"{len(values)} classes are too many: at most {_MOST_CLASSES}.")
    if twice := [value for value in everything if everything.count(value) > 1]:
        raise InputError(
            f"The label value {twice[0]} stands for more than one class (or for a class and for "
            "'ignored'). Give each class its own value."
        )


def _by_rows(label: np.ndarray, decode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Decodes some rows at a time: the indices of a whole tile take eight bytes a pixel."""
    mask = np.empty(label.shape[:2], np.uint8)
    for row in range(0, len(label), _ROWS):
        mask[row : row + _ROWS] = decode(label[row : row + _ROWS])
    return mask


def _inside(label: np.ndarray, length: int) -> np.ndarray:
    """Indices of a table; what lies outside it meets its last entry, which no class has."""
    inside = (label >= 0) & (label < length - 1)
    return np.where(inside, label, length - 1).astype(np.int64)


def _codes(label: np.ndarray) -> np.ndarray:
    wide = label.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _first(where: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return int(row), int(column)


def _mend(mend: str, path: Path) -> str:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        return "JPEG blurs labels: export them again as PNG."
    return mend


def _ranges(values: tuple[int, ...]) -> str:
    if values == tuple(range(len(values))):
        return f"0 to {len(values) - 1}"
    return ", ".join(map(str, values))
