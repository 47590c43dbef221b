"""Full check of a dataset that reports every problem, not only the first."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.pair_reader import PairReader, as_decimals
from lightning_seg.data.reading.pairs import Pair, PairingError, check_sizes
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.data.sampling.class_counts import ClassCounts
from lightning_seg.errors import InputError

SPLITS: tuple[Split, ...] = ("train", "val", "test", "predict")

_WHOLE = 2048 * 2048
_ROWS = 512


@dataclass
class SplitReport:
    """Contents of one split.

    Attributes:
        images: Number of readable images.
        suffixes: Number of images of each file type.
        sizes: Number of images of each (height, width), as read.
        values: Lowest and highest value of all images; (inf, -inf) without one.
        counts: Pixels of each class; None in ``predict``.
        ignored: Number of ignored pixels.
    """

    images: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    values: tuple[float, float] = (float("inf"), float("-inf"))
    counts: ClassCounts | None = None
    ignored: int = 0


@dataclass
class DataReport:
    """Contents and problems of a dataset.

    Attributes:
        splits: Contents of each split.
        problems: Each unusable file or setting, with the reason.
        notes: Facts worth knowing that may be intended.
    """

    splits: dict[Split, SplitReport]
    problems: list[str]
    notes: list[str]


@dataclass(frozen=True)
class _Finding:
    """Findings in the files of one pair."""

    size: tuple[int, int] = (0, 0)
    values: tuple[float, float] = (float("inf"), float("-inf"))
    pixels: np.ndarray | None = None
    digest: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def inspect_dataset(
    data: SegmentationDataModule,
    follow: Callable[[Iterator[_Finding], int, str], Iterator[_Finding]] | None = None,
) -> DataReport:
    """Read every file of every split once, large rasters in strips of rows.

    Args:
        data: The dataset.
        follow: Shows progress: takes the findings, their number and the split's name, and yields
            the findings.
    """
    report = DataReport({}, [], [])
    pairs = {split: _pairs(data, split, report) for split in SPLITS}
    digests: dict[Split, dict[str, list[Path]]] = {}
    seen: set[Path] = set()
    for split in SPLITS:
        # Predict mostly repeats the test images.
        new = [p for p in pairs[split] if split != "predict" or p.image not in seen]
        seen |= {pair.image for pair in pairs[split]}
        report.splits[split], digests[split] = _inspect(data, split, new, report, follow)
        report.splits[split].images += len(pairs[split]) - len(new)
    _find_shared(digests, report, data.sharing)
    if not report.splits["train"].images:
        report.problems.append("train: there is no image to train on.")
    return report


def _pairs(data: SegmentationDataModule, split: Split, report: DataReport) -> list[Pair]:
    try:
        return data.pairs(split)
    except PairingError as error:
        report.problems += [f"{split}: {problem}" for problem in error.problems]
        return list(error.pairs)
    except InputError as error:
        report.problems.append(f"{split}: {error}")
        return []


def _inspect(
    data: SegmentationDataModule,
    split: Split,
    pairs: Sequence[Pair],
    report: DataReport,
    follow: Callable[[Iterator[_Finding], int, str], Iterator[_Finding]] | None,
) -> tuple[SplitReport, dict[str, list[Path]]]:
    contents = SplitReport()
    digests: dict[str, list[Path]] = {}
    pixels, around = np.zeros(256, np.int64), np.zeros(data.num_classes, np.int64)
    labelled = False
    loader = DataLoader(
        _Findings(pairs, data.reader_of(split)),
        batch_size=None,
        num_workers=min(data.num_workers, len(pairs)),
        collate_fn=_identity,
    )
    findings: Iterator[_Finding] = iter(loader)
    if follow is not None:
        findings = follow(findings, len(pairs), split)
    for pair, finding in zip(pairs, findings, strict=True):
        report.problems += [f"{split}: {problem}" for problem in finding.problems]
        report.notes += finding.notes
        digests.setdefault(finding.digest, []).append(pair.image)
        if finding.problems:
            continue
        contents.images += 1
        contents.suffixes[pair.image.suffix.lower()] += 1
        contents.sizes[finding.size] += 1
        low, high = contents.values
        contents.values = min(low, finding.values[0]), max(high, finding.values[1])
        if finding.pixels is not None:
            labelled = True
            pixels += finding.pixels
            classes = finding.pixels[: data.num_classes]
            around += classes.sum() * (classes > 0)
    if labelled:
        classes = pixels[: data.num_classes]
        contents.counts = ClassCounts(tuple(classes.tolist()), tuple(around.tolist()))
        contents.ignored = int(pixels[data.num_classes :].sum())
    return contents, digests


def _find_shared(
    digests: dict[Split, dict[str, list[Path]]],
    report: DataReport,
    intended: Container[tuple[Split, Split]],
) -> None:
    """Report images that occur twice in a split, or both in training and in evaluation."""
    splits: tuple[Split, ...] = ("train", "val", "test")
    for number, split in enumerate(splits):
        for digest, paths in digests[split].items():
            if len(paths) > 1 and digest:
                report.problems.append(f"{split}: {paths[1]} is the same image as {paths[0]}.")
        for other in splits[number + 1 :]:
            shared = [d for d in digests[split] if d and d in digests[other]]
            if not shared:
                continue
            same = digests[split].keys() == digests[other].keys()
            if (split, other) == ("val", "test") and same:
                report.notes.append("test uses the validation images.")
                continue
            if (split, other) in intended:
                report.notes.append(f"{other} uses images of {split}, as set in the configuration.")
                continue
            report.problems += [
                f"{split} and {other} share an image: {digests[split][d][0]} and "
                f"{digests[other][d][0]} are the same."
                for d in shared
            ]


class _Findings(Dataset[_Finding]):
    """The findings in each pair."""

    def __init__(self, pairs: Sequence[Pair], reader: PairReader) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> _Finding:
        pair = self.pairs[index]
        try:
            check_sizes([pair], self.reader.decoder, self.reader.image_downscale)
            size = self.reader.size(pair)
        except InputError as error:
            return _Finding(problems=(str(error),))
        problems: dict[str, None] = {}
        values, pixels = (float("inf"), float("-inf")), np.zeros(256, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for window in _windows(pair, size):
                image = _read_or_note(self.reader.image, pair, window, problems)
                _read_or_note(self.reader.extra_channel, pair, window, problems)
                mask = _read_or_note(self.reader.mask, pair, window, problems)
                if image is not None:
                    shown = as_decimals(image)
                    values = (
                        min(values[0], float(shown.min())),
                        max(values[1], float(shown.max())),
                    )
                if mask is not None:
                    pixels += np.bincount(mask.reshape(-1), minlength=256)
        return _Finding(
            size,
            values,
            None if pair.label is None else pixels,
            _digest(pair),
            tuple(problems),
            tuple(dict.fromkeys(str(warning.message) for warning in caught)),
        )


def _read_or_note(
    read: Callable[[Pair, Window | None], np.ndarray | None],
    pair: Pair,
    window: Window | None,
    problems: dict[str, None],
) -> np.ndarray | None:
    try:
        return read(pair, window)
    except InputError as error:
        problems[str(error)] = None
        return None


def _windows(pair: Pair, size: tuple[int, int]) -> list[Window | None]:
    height, width = size
    if height * width <= _WHOLE or not is_raster(pair.image):
        return [None]
    tops = range(0, height, _ROWS)
    return [Window(top, 0, min(_ROWS, height - top), width) for top in tops]


def _digest(pair: Pair) -> str:
    """Return a key of a sample's pixels; parts of one file count as different images."""
    with pair.image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{digest} {pair.part} {pair.without}" if pair.part or pair.without else digest


def _identity(finding: object) -> _Finding:
    return cast(_Finding, finding)
