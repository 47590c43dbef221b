"""Class frequencies of label files, and the class weights that balance them."""

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from operator import add
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.reading.labels import IGNORE_INDEX, InexactLabel, LabelDecoder
from lightning_seg.data.reading.pair_reader import PairReader, ignored_where
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window, files_of, is_raster
from lightning_seg.errors import InputError
from lightning_seg.files import OWN_FOLDER, write_atomically
from lightning_seg.losses.class_weights import ClassBalance

_ROWS = 512
VALUES = 512
_WHOLE = 2048 * 2048


@dataclass(frozen=True)
class ClassCounts:
    """Pixel counts of a set of masks, which are ignored where the images have no data.

    Args:
        pixels: Pixels of each class.
        pixels_around: Pixels, without ignored ones, of all masks that contain the class; with
            several labels per pixel all pixels that are not ignored for the class.
        ignored: Ignored pixels; with several labels per pixel, those of each class added up.
        ignored_by_labels: Those that the labels ignore, whether the images have data there or not.
        inexact: Masks with pixels that only nearly have a class's value, see `InexactLabel`.
    """

    pixels: tuple[int, ...]
    pixels_around: tuple[int, ...]
    ignored: int = 0
    ignored_by_labels: int = 0
    inexact: int = field(default=0, compare=False)

    def __add__(self, other: "ClassCounts") -> "ClassCounts":
        return ClassCounts(
            tuple(map(add, self.pixels, other.pixels)),
            tuple(map(add, self.pixels_around, other.pixels_around)),
            self.ignored + other.ignored,
            self.ignored_by_labels + other.ignored_by_labels,
            self.inexact + other.inexact,
        )


def balanced_weights(counts: ClassCounts, balance: ClassBalance) -> tuple[float, ...]:
    """Return the class weights; a class without a pixel gets 0.

    ``median_frequency`` (Eigen and Fergus, 2015): a class's frequency is its share of the pixels
    of the label maps that contain it; its weight is the median of all frequencies over its own.
    ``inverse_frequency``: the pixels of all K present classes divided by K times the class's own,
    so that the mean weight of a pixel is 1.
    """
    pixels = np.array(counts.pixels, np.float64)
    present = pixels > 0
    if not present.any():
        raise InputError(
            "The training labels hold no pixel of any class, so classes cannot be balanced. Check "
            "the labels, or give class_weights as numbers."
        )
    weights = np.zeros(len(pixels))
    if balance == "median_frequency":
        frequencies = pixels[present] / np.array(counts.pixels_around, np.float64)[present]
        weights[present] = np.median(frequencies) / frequencies
    else:
        weights[present] = pixels.sum() / (present.sum() * pixels[present])
    return tuple(weights.tolist())


def count_classes(pairs: Sequence[Pair], reader: PairReader, num_workers: int = 0) -> ClassCounts:
    """Count the pixels of each class in masks; each worker holds part of one mask at a time.

    Args:
        pairs: Pairs with labels.
        reader: Reader of the pairs.
        num_workers: Worker processes; 0 reads in the main process.
    """
    workers = min(num_workers, len(pairs))
    # Its own generator leaves the random numbers of training unchanged.
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(
        _Counting(pairs, reader), batch_size=None, num_workers=workers, generator=generator
    )
    counts = ClassCounts((0,) * reader.decoder.num_classes, (0,) * reader.decoder.num_classes)
    for values, nearly in loader:
        counts += replace(counts_of(values.numpy(), reader.decoder), inexact=int(nearly))
    return counts


def cached_counts(
    pairs: Sequence[Pair], reader: PairReader, num_workers: int, root: Path
) -> ClassCounts:
    """Return `count_classes`, cached in a file below ``root`` as long as `masks_key` stays.

    If ``root`` is not writable, masks are counted every time.
    """
    file = root / OWN_FOLDER / f"class_counts_{masks_key(pairs, reader, root)}.json"
    # A damaged cache file is ignored and replaced.
    with suppress(OSError, ValueError, KeyError, TypeError):
        cached = json.loads(file.read_text(encoding="utf-8"))
        checksum = cached.pop("checksum")
        for name in ("pixels", "pixels_around"):
            cached[name] = tuple(cached[name])
        counts = ClassCounts(**cached)
        if checksum == _checksum(counts):
            return counts
    counts = count_classes(pairs, reader, num_workers)
    with suppress(OSError):
        write_atomically(file, json.dumps(asdict(counts) | {"checksum": _checksum(counts)}))
    return counts


def _checksum(counts: ClassCounts) -> int:
    return zlib.crc32(repr(counts).encode())


def value_counts(label: np.ndarray, void: np.ndarray | None) -> np.ndarray:
    """Count the pixels of each value of a mask (H, W), as (`VALUES`,) int64.

    Of a mask (H, W, K) the pixels with label k at k, those without it at 256 + k, and ignored ones
    at 255. The last count is that of pixels that the label itself ignores.

    Args:
        label: The label by itself, see `PairReader.label`.
        void: Where it does not count, see `PairReader.void`.
    """
    counts = np.zeros(VALUES, np.int64)
    for row in range(0, len(label), _ROWS):  # bincount takes 8 bytes per pixel
        part = label[row : row + _ROWS]
        mask = ignored_where(None if void is None else void[row : row + _ROWS], part)
        if mask.ndim == 2:
            counts += np.bincount(mask.reshape(-1), minlength=VALUES)
        else:
            labels = mask.shape[2]
            counts[:labels] += (mask == 1).sum((0, 1))
            counts[256 : 256 + labels] += (mask == 0).sum((0, 1))
            counts[IGNORE_INDEX] += (mask == IGNORE_INDEX).sum()
        counts[-1] += (part == IGNORE_INDEX).sum()
    return counts


def counts_of(values: np.ndarray, decoder: LabelDecoder) -> ClassCounts:
    """Return the counts of one mask from its `value_counts`."""
    pixels, absent = values[: decoder.num_classes], values[256 : 256 + decoder.num_classes]
    around = pixels + absent if decoder.multi_label else pixels.sum() * (pixels > 0)
    ignored = int(values[decoder.num_classes : 256].sum())
    return ClassCounts(tuple(pixels.tolist()), tuple(around.tolist()), ignored, int(values[-1]))


class _Counting(Dataset[tuple[torch.Tensor, bool]]):
    """The `value_counts` of each mask, and whether its label is inexact."""

    def __init__(self, pairs: Sequence[Pair], reader: PairReader) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, bool]:
        pair, counts = self.pairs[index], np.zeros(VALUES, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for window in self._windows(pair):
                label = self.reader.label(pair, window)
                assert label is not None, "counted pairs have labels"
                counts += value_counts(label, self.reader.void(pair, window))
        nearly = any(issubclass(warning.category, InexactLabel) for warning in caught)
        return torch.from_numpy(counts), nearly

    def _windows(self, pair: Pair) -> list[Window | None]:
        """Return strips of rows of a large raster; None for other labels, which are read whole."""
        height, width = self.reader.size(pair)
        is_small = height * width * self.reader.downscale**2 <= _WHOLE
        if is_small or pair.label is None or not is_raster(pair.label):
            return [None]
        tops = range(0, height, _ROWS)
        return [Window(row, 0, min(_ROWS, height - row), width) for row in tops]


def masks_key(pairs: Sequence[Pair], reader: PairReader, root: Path) -> str:
    """Return a short hash of the masks that the reader reads of these pairs, in this order.

    It changes with the name, size or modification time of a file that masks follow from, those
    that a VRT names included, and with the reader's settings for masks.
    """
    states: list[object] = [replace(reader, value_range=None, extra=None)]
    for pair in pairs:
        files = [] if pair.label is None else reader.decoder.files(pair.label)
        files += [] if reader.masks_alone else [pair.image]
        # Photos have no files beside them that tell of data.
        for path in chain(*(files_of(file) if is_raster(file) else [file] for file in files)):
            status = path.stat()
            states.append((os.path.relpath(path, root), status.st_size, status.st_mtime_ns))
        states.append((pair.part, pair.without))
    return hashlib.sha256(repr(states).encode()).hexdigest()[:16]
