"""Targets of whole images, computed once and kept in memory or on disk at a byte a value."""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.data.sampling.evaluation import rank, world_size
from lightning_seg.errors import InputError
from lightning_seg.files import atomic_file, write_atomically

CacheKind = Literal["none", "memory", "disk"]
Progress = Callable[[Sequence[Pair], str], Iterable[Pair]]
COMPUTING = "Computing targets"

# Counts up when targets of the same key get other values.
_CODE_VERSION = 1
_FOLDER = Path(".lightning_seg", "targets")
# Codes run from 0 to 254; 255 is what transforms pad with, and void.
_HIGHEST = 254
_ROWS = 512
_LEFT_BEHIND = 24 * 3600


class MaskTarget(Protocol):
    """A target object of `lightning_seg.targets` that is called with a mask."""

    @property
    def key(self) -> str:
        """Name and parameters."""

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Mask (B, H, W) to maps (B, C, H, W)."""


@dataclass(frozen=True)
class TargetsCache:
    """The maps of some targets for whole images, as codes of a byte from which crops are taken.

    A code is the value's share of the target's ``bounds`` in steps of 1/254, so decoded values are
    off by 1/508 of that range at most; both ends and the middle are exact. On disk each image and
    target has a file ``.npy`` (H, W, C) and a note with its checksum below ``root/.lightning_seg``.
    Their names say the label files' names and content, how labels are read, the target's key and
    the version of this code, so that what is stale is never found; it is removed when images are
    computed anew. Files are written aside, synced and renamed: any number of processes may fill one
    cache, and any may be killed.

    Args:
        kind: Where codes are kept.
        targets: The targets.
        num_classes: K.
        reader: Reads the masks.
        root: The dataset's folder.

    Raises:
        InputError: A target has no bounds that hold for every image.
    """

    kind: Literal["memory", "disk"]
    targets: tuple[MaskTarget, ...]
    num_classes: int
    reader: PairReader
    root: Path
    _kept: dict[Pair, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    _files: dict[Pair, tuple[Path, ...]] = field(default_factory=dict, repr=False, compare=False)
    _channels: list[int] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        for target in self.targets:
            if _bounds(target) is None:
                raise InputError(
                    f"targets_cache: {target.key} cannot be kept: its values are scaled to each "
                    "patch or have no largest one. Set targets_cache to none."
                )

    @property
    def folder(self) -> Path:
        """Where files are kept."""
        return self.root / _FOLDER

    def prepare(self, pairs: Sequence[Pair], progress: Progress | None = None) -> int:
        """Computes what is missing, stale or damaged; must be called before `read`.

        Args:
            pairs: Images with labels.
            progress: Wraps the images that are looked at, and then those that are computed
                (`COMPUTING`), to show how far it is.

        Returns:
            How many images were computed.

        Raises:
            InputError: A label cannot be read, or the folder cannot be written to.
        """
        missing = self._missing(pairs, progress)
        if missing and self.kind == "disk":
            self._remove_stale()
        # Each process begins elsewhere, so that together they compute every image once.
        first = rank() * len(missing) // world_size() if self.kind == "disk" else 0
        for pair in _shown([*missing[first:], *missing[:first]], progress, COMPUTING):
            if self.kind == "memory":
                self._kept[pair] = np.concatenate(self._computed(pair), axis=2)
            elif not self._is_whole(pair):  # another process may have been here
                self._store(pair)
        if self.kind == "disk" and pairs:
            self._note_channels(self._opened(pairs[0]))
        return len(missing)

    def _missing(self, pairs: Sequence[Pair], progress: Progress | None) -> list[Pair]:
        if self.kind == "memory":
            return [pair for pair in pairs if pair not in self._kept]
        missing = []
        for pair in _shown(pairs, progress, "Looking at cached targets"):
            self._files[pair] = self._paths(pair)
            if not self._is_whole(pair):
                missing.append(pair)
        return missing

    def read(self, pair: Pair, window: Window | None = None) -> np.ndarray:
        """The codes of an image, or of a window of it: (H, W, sum of C) uint8."""
        if self.kind == "memory":
            return _cut(self._kept[pair], window)
        parts = [_cut(part, window) for part in self._opened(pair)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def decode(self, codes: np.ndarray) -> dict[str, Tensor]:
        """Codes (H, W, sum of C) to maps (C, H, W) float32 by the targets' keys; 0 for void."""
        maps = {}
        last = np.cumsum(self._channels)
        for target, channels, end in zip(self.targets, self._channels, last, strict=True):
            own = codes[..., end - channels : end]
            table = torch.from_numpy(_table(target))
            stored = torch.from_numpy(np.ascontiguousarray(own.transpose(2, 0, 1)))
            maps[target.key] = table[stored.int()]
        return maps

    def _opened(self, pair: Pair) -> list[np.ndarray]:
        """The files of an image's codes, each (H, W, C)."""
        try:
            return [_opened(path) for path in self._files[pair]]
        except (OSError, ValueError, EOFError):  # removed or cut off since it was prepared
            self._store(pair)
            return [_opened(path) for path in self._files[pair]]

    def _computed(self, pair: Pair) -> list[np.ndarray]:
        codes = [self._codes(pair, target) for target in self.targets]
        self._note_channels(codes)
        return codes

    def _note_channels(self, parts: Sequence[np.ndarray]) -> None:
        self._channels[:] = [part.shape[2] for part in parts]

    def _codes(self, pair: Pair, target: MaskTarget) -> np.ndarray:
        mask = self.reader.mask(pair)
        assert mask is not None, "cached pairs have labels"
        maps = target(torch.from_numpy(np.ascontiguousarray(mask))[None], self.num_classes)[0]
        codes = np.empty((*mask.shape, len(maps)), np.uint8)
        low, high = _bounds(target) or (0.0, 0.0)
        for row in range(0, len(mask), _ROWS):  # some at a time: decimals take four times as much
            part = maps[:, row : row + _ROWS].permute(1, 2, 0)
            codes[row : row + _ROWS] = ((part - low) * (_HIGHEST / (high - low))).round().numpy()
        return codes

    def _paths(self, pair: Pair) -> tuple[Path, ...]:
        """Where an image's codes of each target are."""
        assert pair.label is not None, "cached pairs have labels"
        content = hashlib.sha256()
        for file in self.reader.decoder.files(pair.label):
            content.update(file.name.encode())  # which part of a face a file shows, for one
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
        way: tuple[object, ...] = (
            self.reader.decoder,
            self.reader.reduction,
            self.num_classes,
            _CODE_VERSION,
        )
        if pair.part or pair.without:  # names of whole images are without
            way += pair.part, pair.without
        place = _digest(os.path.relpath(pair.label, self.root))
        return tuple(
            self.folder / f"{place}-{content.hexdigest()[:16]}-{_digest(target.key, way)}.npy"
            for target in self.targets
        )

    def _is_whole(self, pair: Pair) -> bool:
        return all(_agrees_with_note(path) for path in self._files[pair])

    def _store(self, pair: Pair) -> None:
        codes, paths = None, self._paths(pair)
        while codes is None:
            codes = self._computed(pair)
            before, paths = paths, self._paths(pair)
            codes = codes if before == paths else None  # the label was replaced meanwhile
        self._files[pair] = paths
        for path, target, own in zip(paths, self.targets, codes, strict=True):
            try:
                with atomic_file(path) as file:
                    np.save(file, own)
                note = {"target": target.key, "label": str(pair.label), "crc32": _checksum(path)}
                write_atomically(_note(path), json.dumps(note))
            except OSError as error:
                raise InputError(
                    f"targets_cache: {path.parent} cannot be written to ({error}). Make room or "
                    "give the right to, or set targets_cache to memory or none."
                ) from error

    def _remove_stale(self) -> None:
        """Removes entries of these label files when they had another content, and old remains."""
        if not self.folder.is_dir():
            return
        now = dict(path.name.split("-")[:2] for paths in self._files.values() for path in paths)
        for other in self.folder.iterdir():
            place, content, *_ = [*other.name.split("-"), ""]
            stale = place in now and content != now[place]
            with suppress(OSError):
                if stale or (other.name.startswith(".") and _age(other) > _LEFT_BEHIND):
                    other.unlink()


def _bounds(target: MaskTarget) -> tuple[float, float] | None:
    return getattr(target, "bounds", None)


def _table(target: MaskTarget) -> np.ndarray:
    """What each code stands for."""
    low, high = _bounds(target) or (0.0, 0.0)
    values = low + np.arange(256) * ((high - low) / _HIGHEST)
    values[IGNORE_INDEX] = 0
    return values.astype(np.float32)


def _shown(pairs: Sequence[Pair], progress: Progress | None, about: str) -> Iterable[Pair]:
    return pairs if progress is None or not pairs else progress(pairs, about)


def _cut(codes: np.ndarray, window: Window | None) -> np.ndarray:
    if window is None:
        return np.asarray(codes)
    rows, columns = window.row + window.height, window.column + window.width
    # A copy: of a file only these pages are read, and nothing of it stays mapped.
    return np.array(codes[window.row : rows, window.column : columns])


def _opened(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _agrees_with_note(path: Path) -> bool:
    """Whether an entry is there, whole and as it was written."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        note: Mapping[str, object] = json.loads(_note(path).read_text(encoding="utf-8"))
        return bool(note["crc32"] == _checksum(path))
    return False


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
