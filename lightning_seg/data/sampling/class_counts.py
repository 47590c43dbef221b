"""Class frequencies of label files, and the class weights that balance them."""

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.reading.labels import InexactLabel, LabelDecoder
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.errors import InputError
from lightning_seg.files import OWN_FOLDER, write_atomically
from lightning_seg.losses.class_weights import ClassBalance

_ROWS = 512
VALUES = 512
_WHOLE = 2048 * 2048


@dataclass(frozen=True)
class ClassCounts:
    """Pixel counts of a set of label maps.

    Args:
        pixels: Pixels of each class.
        pixels_around: Pixels, without ignored ones, of all label maps that contain the class; with
            several labels per pixel all pixels that are not ignored for the class.
        ignored: Ignored pixels; with several labels per pixel, those of each class added up.
        inexact: Label maps with pixels that only nearly have a class's value, see `InexactLabel`.
    """

    pixels: tuple[int, ...]
    pixels_around: tuple[int, ...]
    ignored: int = 0
    inexact: int = field(default=0, compare=False)


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


def count_classes(
    paths: Sequence[Path], decoder: LabelDecoder, num_workers: int = 0
) -> ClassCounts:
    """Count the pixels of each class in label files; each worker holds part of one file at a time.

    Args:
        paths: The label files.
        decoder: Decoder of the labels.
        num_workers: Worker processes; 0 reads in the main process.
    """
    pixels = np.zeros(decoder.num_classes, np.int64)
    around = np.zeros_like(pixels)
    ignored = inexact = 0
    workers = min(num_workers, len(paths))
    # Its own generator leaves the random numbers of training unchanged.
    generator = torch.Generator().manual_seed(0)
    reader = _Counting(paths, decoder)
    loader = DataLoader(reader, batch_size=None, num_workers=workers, generator=generator)
    for values, nearly in loader:
        of_map = counts_of(values.numpy(), decoder)
        pixels += np.array(of_map.pixels)
        around += np.array(of_map.pixels_around)
        ignored += of_map.ignored
        inexact += nearly
    return ClassCounts(tuple(pixels.tolist()), tuple(around.tolist()), ignored, inexact)


def cached_counts(
    paths: Sequence[Path], decoder: LabelDecoder, num_workers: int, root: Path
) -> ClassCounts:
    """Return `count_classes`, cached in a file below ``root``.

    The cache is valid while the classes and the names, sizes and modification times of the labels
    stay the same. If ``root`` is not writable, labels are counted every time.
    """
    file = root / OWN_FOLDER / f"class_counts_{labels_key(paths, decoder, root)}.json"
    # A damaged cache file is ignored and replaced.
    with suppress(OSError, ValueError, KeyError, TypeError):
        cached = json.loads(file.read_text(encoding="utf-8"))
        pixels, around = tuple(cached["pixels"]), tuple(cached["pixels_around"])
        counts = ClassCounts(pixels, around, cached["ignored"], cached["inexact"])
        if cached["checksum"] == _checksum(counts):
            return counts
    counts = count_classes(paths, decoder, num_workers)
    with suppress(OSError):
        write_atomically(file, json.dumps(asdict(counts) | {"checksum": _checksum(counts)}))
    return counts


def _checksum(counts: ClassCounts) -> int:
    return zlib.crc32(repr(counts).encode())


def value_counts(mask: np.ndarray) -> np.ndarray:
    """Count the pixels of each value of a mask (H, W), as (`VALUES`,) int64.

    Of a mask (H, W, K) the pixels with label k at k, those without it at 256 + k, and ignored ones
    at 255.
    """
    if mask.ndim == 2:
        return np.bincount(mask.reshape(-1), minlength=VALUES)
    counts, labels = np.zeros(VALUES, np.int64), mask.shape[2]
    counts[:labels], counts[256 : 256 + labels] = ((mask == n).sum((0, 1)) for n in (1, 0))
    counts[255] = mask[..., 0].size * labels - counts.sum()
    return counts


def counts_of(values: np.ndarray, decoder: LabelDecoder) -> ClassCounts:
    """Return the counts of one label map from its `value_counts`."""
    pixels, absent = values[: decoder.num_classes], values[256 : 256 + decoder.num_classes]
    around = pixels + absent if decoder.multi_label else pixels.sum() * (pixels > 0)
    ignored = int(values[decoder.num_classes : 256].sum())
    return ClassCounts(tuple(pixels.tolist()), tuple(around.tolist()), ignored)


class _Counting(Dataset[tuple[torch.Tensor, bool]]):
    """The `value_counts` of each label's mask, and whether it is inexact."""

    def __init__(self, paths: Sequence[Path], decoder: LabelDecoder) -> None:
        self.paths = tuple(paths)
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, bool]:
        counts = np.zeros(VALUES, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for mask in _masks(self.paths[index], self.decoder):
                for row in range(0, len(mask), _ROWS):  # bincount takes 8 bytes per pixel
                    counts += value_counts(mask[row : row + _ROWS])
        nearly = any(issubclass(warning.category, InexactLabel) for warning in caught)
        return torch.from_numpy(counts), nearly


def _masks(label: Path, decoder: LabelDecoder) -> Iterator[np.ndarray]:
    """Yield the mask of a label, in strips of rows for a large raster."""
    height, width = decoder.size(label)
    if height * width <= _WHOLE or not is_raster(label):
        yield decoder.read(label)
        return
    for row in range(0, height, _ROWS):
        yield decoder.read(label, Window(row, 0, min(_ROWS, height - row), width))


def labels_key(labels: Sequence[Path], decoder: LabelDecoder, root: Path) -> str:
    """Return a short hash of these labels in this order.

    It changes with a file's name, size or modification time, and with the decoder.
    """
    files = []
    for path in (file for label in labels for file in decoder.files(label)):
        status = path.stat()
        files.append((os.path.relpath(path, root), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr((files, decoder)).encode()).hexdigest()[:16]
