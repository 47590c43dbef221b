"""Decoders of label files: ids, colours or bands to masks, with 255 for ignored pixels."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from lightning_seg.data.reading.image_files import (
    JPEG_SUFFIXES,
    image_size,
    read_bands,
    read_label,
)
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError
from lightning_seg.palette import Color as Color
from lightning_seg.palette import distinct_colors as distinct_colors

IGNORE_INDEX = 255

_UNKNOWN = 254
_MOST_CLASSES = 254
_ROWS = 256
_FARTHEST = 2**16
_SHOWN = 6

Unknown = Literal["error", "nearest", "void"]
"""Meaning of a value that is neither a class's nor ignored."""

_reported: set[Path] = set()


class InexactLabel(UserWarning):
    """Pixels of a label only nearly have a class's value, and are taken for it."""


class LabelDecoder(ABC):
    """Decoder of label files to masks (H, W) uint8 of 0..K-1, and 255 for ignored pixels.

    One path identifies a label: its only file, or the common prefix or folder of its files.
    Decoders with equal ``repr`` read equal masks.

    Attributes:
        multi_label: Whether pixels may have several labels: masks are then (H, W, K) of 0, 1 and
            255.
    """

    multi_label: ClassVar[bool] = False

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes."""

    @abstractmethod
    def files(self, label: Path) -> list[Path]:
        """Return the files that make up a label."""

    @abstractmethod
    def size(self, label: Path) -> tuple[int, int]:
        """Return the height and width of the mask, from file headers alone."""

    @abstractmethod
    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """Read the mask (H, W) uint8, or a window of it."""


@dataclass(frozen=True)
class _OneFile(LabelDecoder):
    """Labels of one file each, decoded pixel by pixel with a table."""

    values: tuple[Any, ...]
    ignored: tuple[Any, ...] = ()
    hint: str = "Correct the label file."
    tolerance: int = 0
    unknown: Unknown = "error"
    colors: ClassVar[bool]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.values)

    def files(self, label: Path) -> list[Path]:
        """Return the label itself."""
        return [label]

    def size(self, label: Path) -> tuple[int, int]:
        """Return the height and width, from the file's header."""
        return image_size(label)

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """Read the mask (H, W) uint8, or a window of it."""
        origin = (0, 0) if window is None else (window.row, window.column)
        return self(read_label(label, self.colors, window), label, origin)

    def __call__(
        self, label: np.ndarray, path: Path, origin: tuple[int, int] = (0, 0)
    ) -> np.ndarray:
        """Map ids (H, W) of any integer type or colours (H, W, 3) uint8 to a mask (H, W) uint8.

        Raises:
            InputError: A value is unknown. The message names the file, the value, its position in
                the file (``origin`` is the window's upper left corner), the count and the hint.
        """
        if self.tolerance:
            self._decoded(label[:1, :1], path, self.tolerance)  # refuses one that mixes classes
        exact = self._decoded(label, path, 0)
        if not (exact == _UNKNOWN).any():
            return exact
        mask = self._decoded(label, path, self.tolerance)
        unknown = mask == _UNKNOWN
        if self.unknown != "error":
            mask[unknown] = (
                IGNORE_INDEX if self.unknown == "void" else self._nearest(label[unknown])
            )
        elif unknown.any():
            row, column = _first(unknown)
            raise InputError(
                f"{path}: label {self._named(label[row, column])} at row {row + origin[0]}, "
                f"column {column + origin[1]} ({int(unknown.sum())} unknown pixels in all"
                f"{_others(label, unknown)}) is none of the {self._classes}. "
                f"{_advice(self.hint, path)}"
            )
        if (self.tolerance or self.unknown != "error") and path not in _reported:
            _report(label, exact, path, self.unknown)
        return mask

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        """Return the mask value of the nearest listed value for each of (N,) or (N, 3)."""
        different, index = np.unique(values.reshape(len(values), -1), axis=0, return_inverse=True)
        listed = np.array([*self.values, *self.ignored], np.int64).reshape(-1, different.shape[1])
        meanings = np.array(_meanings(self.values, self.ignored), np.uint8)
        nearest = [((listed - value) ** 2).sum(axis=1).argmin() for value in different]
        return meanings[np.array(nearest, np.int64)][index.reshape(-1)]

    @property
    @abstractmethod
    def _classes(self) -> str:
        """Number of classes, and their values if they can be listed."""

    @abstractmethod
    def _named(self, value: np.ndarray) -> str:
        """Describe a value."""

    @abstractmethod
    def _decoded(self, label: np.ndarray, path: Path, tolerance: int) -> np.ndarray:
        """Look up the mask (H, W) uint8, with 254 for unknown values."""


@dataclass(frozen=True)
class IdLabels(_OneFile):
    """Labels that store one number per pixel.

    Args:
        values: The number of each class, in class order.
        ignored: Numbers of unlabelled pixels, such as -1; they become 255.
        hint: Advice about an unknown number; ends the error message.
        tolerance: Largest distance from a listed number that still counts as this number, such as
            15 where 255 was saved as 240. A warning gives the share of such pixels, once per file.
        unknown: Refuses other numbers, takes them for the nearest listed one, or ignores them.
    """

    values: tuple[int, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)
    colors = False

    @property
    def _classes(self) -> str:
        return f"{len(self.values)} classes ({_ranges(self.values)})"

    def _named(self, value: np.ndarray) -> str:
        return f"value {value}"

    def _decoded(self, label: np.ndarray, path: Path, tolerance: int) -> np.ndarray:
        if not np.issubdtype(label.dtype, np.integer):
            raise InputError(
                f"{path}: class ids must be whole numbers, this file has {label.dtype}. "
                "Save it with 8 or 16 bits."
            )
        lowest, table, far = _id_table(self.values, self.ignored, tolerance)
        mask = _by_rows(label, lambda part: table[_places(part, lowest, len(table))])
        for value, meaning in far:
            mask[(label >= value - tolerance) & (label <= value + tolerance)] = meaning
        return mask


@dataclass(frozen=True)
class ColorLabels(_OneFile):
    """Labels that store an RGB colour (0 to 255) for each class.

    Args:
        values: The colour of each class, in class order.
        ignored: Colours of unlabelled pixels; they become 255.
        hint: Advice about an unknown colour; ends the error message.
        tolerance: Largest distance in red, green or blue from a listed colour that still counts as
            this colour, for labels saved with lossy compression. A warning gives the share of such
            pixels, once per file.
        unknown: Refuses other colours, takes them for the nearest one in ``values`` or ``ignored``,
            or ignores them.
        merged: Additional colours, each with the class index it maps to.
    """

    values: tuple[Color, ...]
    ignored: tuple[Color, ...] = ()
    merged: tuple[tuple[Color, int], ...] = ()
    colors = True

    @property
    def _classes(self) -> str:
        return f"{len(self.values)} classes"

    def _named(self, value: np.ndarray) -> str:
        return f"colour {tuple(value.tolist())}"

    def _decoded(self, label: np.ndarray, path: Path, tolerance: int) -> np.ndarray:
        table = _color_table(self.values, self.ignored, self.merged, tolerance)
        return _by_rows(label, lambda part: table.take(_codes(part)))


@dataclass(frozen=True)
class BandLabels(LabelDecoder):
    """Labels with a band for each class, for pixels that may have several classes.

    Args:
        bands: Number of classes.
        band: Decodes each band: its two values stand for absent and present.
    """

    bands: int
    band: IdLabels
    multi_label = True

    def __post_init__(self) -> None:
        if self.bands > _MOST_CLASSES:
            raise InputError(f"{self.bands} classes are too many: at most {_MOST_CLASSES}.")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.bands

    def files(self, label: Path) -> list[Path]:
        """Return the label itself."""
        return [label]

    def size(self, label: Path) -> tuple[int, int]:
        """Return the height and width, from the file's header."""
        return image_size(label)

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """Read the mask (H, W, K) uint8 of 0, 1 and 255, or a window of it.

        Raises:
            InputError: There is not one band for each class, or a value is unknown.
        """
        stored = read_bands(label, window)
        if stored.shape[2] != self.bands:
            raise InputError(
                f"{label} has {stored.shape[2]} band(s), but with multi_label each of the "
                f"{self.bands} classes has its own. Save one band for each class, in their order, "
                "or correct num_classes or class_names."
            )
        origin = (0, 0) if window is None else (window.row, window.column)
        mask = np.empty(stored.shape, np.uint8)
        for k in range(self.bands):
            try:
                mask[..., k] = self.band(stored[..., k], label, origin)
            except InputError as error:
                raise InputError(f"Band {k + 1} of {error}") from error
        return mask


@lru_cache(maxsize=8)
def _id_table(
    values: tuple[int, ...], ignored: tuple[int, ...], tolerance: int
) -> tuple[int, np.ndarray, list[tuple[int, int]]]:
    """Return the lowest number of a table, the table, and numbers beyond it with their meaning.

    The table's last entry stands for all numbers outside. A number beyond it is one like -2^31.
    """
    _check_values(values, ignored)
    meanings = dict(zip((*values, *ignored), _meanings(values, ignored), strict=True))
    far = {value: meaning for value, meaning in meanings.items() if abs(value) > _FARTHEST}
    near = {value: meaning for value, meaning in meanings.items() if value not in far}
    lowest = min(near, default=0) - tolerance
    table = np.full(max(near, default=0) + tolerance + 2 - lowest, _UNKNOWN, np.uint8)
    for value, meaning in near.items():
        place = value - lowest
        _fill(table[place - tolerance : place + tolerance + 1], meaning, value, tolerance)
    return lowest, table, list(far.items())


@lru_cache(maxsize=4)
def _color_table(
    values: tuple[Color, ...],
    ignored: tuple[Color, ...],
    merged: tuple[tuple[Color, int], ...],
    tolerance: int,
) -> np.ndarray:
    # One byte for each of the 2^24 colours: one look-up per pixel for any number of classes.
    merged_colors = [color for color, _ in merged]
    _check_values(values, (*ignored, *merged_colors))
    cube = np.full((256, 256, 256), _UNKNOWN, np.uint8)
    meanings = [*_meanings(values, ignored), *[number for _, number in merged]]
    for color, meaning in zip((*values, *ignored, *merged_colors), meanings, strict=True):
        near = cube[tuple(slice(max(part - tolerance, 0), part + tolerance + 1) for part in color)]
        _fill(near, meaning, color, tolerance)
    return cube.reshape(-1)


def largest_tolerance(values: Sequence[Any]) -> int:
    """Return the largest tolerance that still distinguishes numbers or colours."""
    points = np.array(values, np.int64).reshape(len(values), -1)
    distances = np.abs(points[:, None] - points[None]).max(axis=2)
    return (int(distances[~np.eye(len(points), dtype=bool)].min()) - 1) // 2


def _meanings(values: Sequence[object], ignored: Sequence[object]) -> list[int]:
    return [*range(len(values)), *[IGNORE_INDEX] * len(ignored)]


def _fill(near: np.ndarray, meaning: int, value: int | Color, tolerance: int) -> None:
    if (near != _UNKNOWN).any():
        kind = "value" if isinstance(value, int) else "colour"
        raise InputError(
            f"With a tolerance of {tolerance}, {value} cannot be distinguished from another "
            f"{kind}. Set a smaller tolerance."
        )
    near[:] = meaning


def _report(label: np.ndarray, exact: np.ndarray, path: Path, unknown: Unknown) -> None:
    moved = exact == _UNKNOWN
    if not moved.any():
        return
    _reported.add(path)
    value = label[_first(moved)].tolist()
    shown = f"colour, for instance {tuple(value)}" if label.ndim == 3 else f"value, such as {value}"
    fate = "are ignored if no class is near" if unknown == "void" else "are taken for it"
    warnings.warn(
        f"{path}: {moved.mean():.2%} of the pixels just read have nearly a class's {shown}, and "
        f"{fate}.",
        InexactLabel,
        stacklevel=3,
    )


def _others(label: np.ndarray, unknown: np.ndarray) -> str:
    """List the unknown values, most frequent first."""
    values, counts = np.unique(
        label[unknown].reshape(unknown.sum(), -1), axis=0, return_counts=True
    )
    if len(values) == 1:
        return ""
    order = np.argsort(-counts, kind="stable")
    shown = [
        str(tuple(values[i].tolist()) if label.ndim == 3 else int(values[i, 0]))
        for i in order[:_SHOWN]
    ]
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return f": {', '.join(shown)}{more}"


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
    """Decode in strips of rows: the indices of a whole tile would take 8 bytes per pixel."""
    mask = np.empty(label.shape[:2], np.uint8)
    for row in range(0, len(label), _ROWS):
        mask[row : row + _ROWS] = decode(label[row : row + _ROWS])
    return mask


def _places(label: np.ndarray, lowest: int, length: int) -> np.ndarray:
    """Return table indices; numbers outside map to the last entry, which is unknown."""
    inside = (label >= lowest) & (label < lowest + length - 1)
    return np.where(inside, label.astype(np.int64) - lowest, length - 1)


def _codes(label: np.ndarray) -> np.ndarray:
    # Four bytes from the lowest: blue, green, red and a filled one.
    return cv2.cvtColor(label, cv2.COLOR_RGB2BGRA).view("<u4")[..., 0] & 0xFFFFFF


def _first(where: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return int(row), int(column)


def _advice(hint: str, path: Path) -> str:
    if path.suffix.lower() in JPEG_SUFFIXES:
        return "JPEG blurs labels: export them again as PNG."
    return hint


def _ranges(values: tuple[int, ...]) -> str:
    if values == tuple(range(len(values))):
        return f"0 to {len(values) - 1}"
    return ", ".join(map(str, values))
