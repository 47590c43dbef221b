"""Predicted rows of one image on disk, until all of them are there."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_seg.errors import InputError
from lightning_seg.files import DAMAGED_ARCHIVE, atomic_file

_FOLDER = ".rows"


class Rows(NamedTuple):
    """Rows of an image from ``first`` on: labels (rows, W) uint8; maps (K, rows, W), or none."""

    first: int
    labels: np.ndarray
    maps: np.ndarray | None

    @property
    def last(self) -> int:
        """The row after these."""
        return self.first + len(self.labels)

    def below(self, row: int) -> "Rows":
        """Those of them from a row on."""
        above = max(row - self.first, 0)
        maps = None if self.maps is None else self.maps[:, above:]
        return Rows(self.first + above, self.labels[above:], maps)


class RowStore:
    """A folder of some rows each, which any number of processes add to and any may be killed.

    Args:
        predictions: Where the image's files will be.
        stem: Their name.
        key: Stands for all that the rows depend on; rows of another key are never read.
        height: Rows of the image.
    """

    def __init__(self, predictions: Path, stem: str, key: str, height: int) -> None:
        self._stem = stem
        self._folder = predictions / _FOLDER / f"{stem}-{key[:16]}"
        self._taken = self._folder.with_name(f"{self._folder.name}.taken")
        self._height = height

    def prepare(self) -> None:
        """Before any process begins: drops other keys' rows, finds those a kill left taken."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for other in self._others():
            if other not in (self._folder, self._taken):
                shutil.rmtree(other, ignore_errors=True)
        if self._taken.is_dir():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._taken.rename(self._folder)

    def missing(self) -> list[tuple[int, int]]:
        """First and last row, exclusively, of each gap."""
        gaps, done = [], 0
        for first, last in (*sorted(map(_span, self._files(self._folder))), (self._height,) * 2):
            if first > done:
                gaps.append((done, first))
            done = max(done, last)
        return gaps

    def save(self, parts: Iterable[Rows]) -> None:
        """Keeps rows that follow each other, all or none of them."""
        parts = list(parts)
        labels = np.concatenate([part.labels for part in parts])
        arrays = {"labels": labels}
        maps = [part.maps for part in parts if part.maps is not None]
        if maps:
            arrays["maps"] = np.concatenate(maps, axis=1)
        name = f"{parts[0].first}-{parts[-1].last}.npz"
        with atomic_file(self._folder / name) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def forget_last(self) -> list[tuple[int, int]]:
        """Drops the lowest rows, so that the image is finished once more; the gaps then."""
        files = sorted(self._files(self._folder), key=_span)
        while files and not self.missing():
            files.pop().unlink()
        return self.missing()

    def take(self) -> bool:
        """Whether all rows are there and this process, and no other, is to go on with them."""
        if self.missing():
            return False
        try:
            self._folder.rename(self._taken)
        except FileNotFoundError:
            return False
        return True

    def rows(self) -> Iterator[Rows]:
        """All rows that were taken, from the top.

        Raises:
            InputError: A file is damaged.
        """
        done = 0
        for path in sorted(self._files(self._taken), key=_span):
            part = _load(path).below(done)
            if len(part.labels):
                yield part
            done = max(done, part.last)

    def remove(self) -> None:
        """Removes all rows of the image."""
        for folder in self._others():
            shutil.rmtree(folder, ignore_errors=True)

    def is_common(self) -> bool:
        """Whether what the first process prepared is seen here, too."""
        return self._folder.parent.is_dir()

    def _others(self) -> list[Path]:
        """Folders of the image with any key."""
        pattern = re.compile(re.escape(self._stem) + r"-[0-9a-f]{16}(\.taken)?")
        parent = self._folder.parent
        there = os.listdir(parent) if parent.is_dir() else []
        return [parent / name for name in there if pattern.fullmatch(name)]

    def _files(self, folder: Path) -> list[Path]:
        return list(folder.glob("[0-9]*.npz"))


def remove_empty(predictions: Path) -> None:
    """Removes the folder of all images' rows if it is empty; no other process may be at work."""
    with suppress(OSError):
        (predictions / _FOLDER).rmdir()


def _load(path: Path) -> Rows:
    try:
        with np.load(path, allow_pickle=False) as found:
            return Rows(_span(path)[0], found["labels"], found.get("maps"))
    except DAMAGED_ARCHIVE as error:
        raise InputError(
            f"{path} is damaged ({error}). Delete it and predict once more: only its rows are made "
            "anew."
        ) from error


def _span(path: Path) -> tuple[int, int]:
    first, last = path.stem.split("-")
    return int(first), int(last)
