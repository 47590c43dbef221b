"""Store on disk for the predicted rows of an unfinished image."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_seg.errors import InputError
from lightning_seg.files import DAMAGED_ARCHIVE, atomic_file

_FOLDER = ".rows"


class Rows(NamedTuple):
    """Rows of an image from ``first`` on: labels uint8, and maps (C, rows, W) by name.

    Labels are (rows, W), or with several per pixel (K, rows, W).
    """

    first: int
    labels: np.ndarray
    maps: Mapping[str, np.ndarray]

    @property
    def last(self) -> int:
        """The row after these."""
        return self.first + self.labels.shape[-2]

    def below(self, row: int) -> "Rows":
        """Return the rows from ``row`` on."""
        above = max(row - self.first, 0)
        maps = {name: rows[:, above:] for name, rows in self.maps.items()}
        return Rows(self.first + above, self.labels[..., above:, :], maps)


class RowStore:
    """Folder of row files; many processes can add to it, and each may be killed at any time.

    Args:
        predictions: Output folder of the prediction.
        stem: File name of the image's predictions, without suffix.
        key: Hash of all that the rows depend on; rows with another key are never read.
        height: Number of rows of the image.
    """

    def __init__(self, predictions: Path, stem: str, key: str, height: int) -> None:
        self._stem = stem
        self._folder = predictions / _FOLDER / f"{stem}-{key[:16]}"
        self._taken = self._folder.with_name(f"{self._folder.name}.taken")
        self._height = height

    def prepare(self) -> None:
        """Remove rows with other keys, and recover rows that a killed process had taken.

        Call it before any process starts to predict.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for other in self._others():
            if other not in (self._folder, self._taken):
                shutil.rmtree(other, ignore_errors=True)
        if self._taken.is_dir():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._taken.rename(self._folder)

    def missing(self) -> list[tuple[int, int]]:
        """Return the missing row ranges [first, last)."""
        gaps, done = [], 0
        for first, last in (*sorted(map(_span, self._files(self._folder))), (self._height,) * 2):
            if first > done:
                gaps.append((done, first))
            done = max(done, last)
        return gaps

    def save(self, parts: Iterable[Rows]) -> None:
        """Save consecutive rows as one file, all or none."""
        parts = list(parts)
        labels = np.concatenate([part.labels for part in parts], axis=-2)
        arrays = {"labels": labels}
        for name in parts[0].maps:
            arrays[name] = np.concatenate([part.maps[name] for part in parts], axis=1)
        name = f"{parts[0].first}-{parts[-1].last}.npz"
        with atomic_file(self._folder / name) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def forget_last(self) -> list[tuple[int, int]]:
        """Reopen a complete image that was never written: remove its last rows, return the gap."""
        files = sorted(self._files(self._folder), key=_span)
        while files and not self.missing():
            files.pop().unlink()
        return self.missing()

    def take(self) -> bool:
        """Try to take a complete image's rows; True for exactly one process."""
        if self.missing():
            return False
        try:
            self._folder.rename(self._taken)
        except FileNotFoundError:
            return False
        return True

    def rows(self) -> Iterator[Rows]:
        """Yield the taken rows from top to bottom."""
        done = 0
        for path in sorted(self._files(self._taken), key=_span):
            part = _load(path).below(done)
            if part.last > part.first:
                yield part
            done = max(done, part.last)

    def remove(self) -> None:
        """Remove all rows of the image."""
        for folder in self._others():
            shutil.rmtree(folder, ignore_errors=True)

    def is_common(self) -> bool:
        """Return whether this process sees the folder that the first process prepared."""
        return self._folder.parent.is_dir()

    def _others(self) -> list[Path]:
        """Return the image's folders with any key."""
        pattern = re.compile(re.escape(self._stem) + r"-[0-9a-f]{16}(\.taken)?")
        parent = self._folder.parent
        names = os.listdir(parent) if parent.is_dir() else []
        return [parent / name for name in names if pattern.fullmatch(name)]

    def _files(self, folder: Path) -> list[Path]:
        return list(folder.glob("[0-9]*.npz"))


def remove_empty(predictions: Path) -> None:
    """Remove the folder of all images' rows if it is empty; no other process may be running."""
    with suppress(OSError):
        (predictions / _FOLDER).rmdir()


def _load(path: Path) -> Rows:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            maps = {name: arrays[name] for name in arrays.files if name != "labels"}
            return Rows(_span(path)[0], arrays["labels"], maps)
    except DAMAGED_ARCHIVE as error:
        raise InputError(
            f"{path} is damaged ({error}). Delete it and predict again: only its rows are "
            "recomputed."
        ) from error


def _span(path: Path) -> tuple[int, int]:
    first, last = path.stem.split("-")
    return int(first), int(last)
