"""Full check of a dataset that reports every problem, not only the first."""

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.pair_reader import PairReader, as_decimals
from lightning_seg.data.reading.pairs import Pair, PairingError, check_alignment, first_of
from lightning_seg.data.reading.tiff import Window, is_raster
from lightning_seg.data.sampling.class_counts import VALUES, ClassCounts, counts_of, value_counts
from lightning_seg.errors import InputError

SPLITS: tuple[Split, ...] = ("train", "val", "test", "predict")

Reading: TypeAlias = Callable[[Pair, Window | None], np.ndarray | None]

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
        counts: Pixels of each class and ignored ones; None in ``predict``.
    """

    images: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    values: tuple[float, float] = (float("inf"), float("-inf"))
    counts: ClassCounts | None = None


@dataclass
class DataReport:
    """Contents and problems of a dataset.

    Attributes:
        splits: Contents of each split.
        problems: Causes why files or settings cannot be used, each with up to three examples.
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
    problems: tuple["_Remark", ...] = ()
    notes: tuple["_Remark", ...] = ()


class _Remark(NamedTuple):
    """What is said about one file; remarks of equal cause are reported together."""

    text: str
    file: Path
    cause: str


class _Remarks:
    """Remarks on all splits, each once."""

    def __init__(self) -> None:
        self._splits: dict[_Remark, list[str]] = {}

    def add(self, remark: _Remark | str, split: str = "") -> None:
        """Add a remark; equal ones on several splits become one."""
        if isinstance(remark, str):
            remark = _Remark(remark, Path(), remark)
        splits = self._splits.setdefault(remark, [])
        if split and split not in splits:
            splits.append(split)

    def lines(self) -> list[str]:
        """Return a line for each cause, with up to three examples."""
        groups: dict[tuple[str, str], list[_Remark]] = {}
        for remark, splits in self._splits.items():
            groups.setdefault((", ".join(splits), remark.cause), []).append(remark)
        return [
            f"{splits}: {_summary(remarks)}" if splits else _summary(remarks)
            for (splits, _), remarks in groups.items()
        ]


def _summary(remarks: Sequence[_Remark]) -> str:
    first, *others = remarks
    if not others:
        return first.text
    return f"{first.text} (And {len(others)} more: {first_of([r.file for r in others], 2)}.)"


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
    splits: dict[Split, SplitReport] = {}
    problems, notes = _Remarks(), _Remarks()
    pairs = {split: _pairs(data, split, problems) for split in SPLITS}
    digests: dict[Split, dict[str, list[Path]]] = {}
    seen: set[Path] = set()
    for split in SPLITS:
        # Predict mostly repeats the test images.
        found = pairs[split] or []
        new = [p for p in found if split != "predict" or p.image not in seen]
        seen |= {pair.image for pair in found}
        splits[split], digests[split] = _inspect(data, split, new, (problems, notes), follow)
        splits[split].images += len(found) - len(new)
        # What only predict refuses is no problem of the dataset.
        counts = splits[split].counts
        if split != "predict" and (counts is not None or pairs[split] == []):
            judgement = data.judge(split, counts)
            for problem in judgement.problems:
                problems.add(problem, split)
            for note in judgement.notes:
                notes.add(note, split)
    _find_shared(digests, problems, notes, data.sharing)
    return DataReport(splits, problems.lines(), notes.lines())


def _pairs(data: SegmentationDataModule, split: Split, problems: _Remarks) -> list[Pair] | None:
    """Return the usable pairs of a split, None if a problem hides them."""
    if split == "predict" and data.reader.masks_alone:
        return []
    try:
        return data.pairs(split)
    except PairingError as error:
        for problem in error.problems:
            problems.add(problem, split)
        return list(error.pairs) or None
    except InputError as error:
        problems.add(str(error), split)
        return None


def _inspect(
    data: SegmentationDataModule,
    split: Split,
    pairs: Sequence[Pair],
    remarks: tuple[_Remarks, _Remarks],
    follow: Callable[[Iterator[_Finding], int, str], Iterator[_Finding]] | None,
) -> tuple[SplitReport, dict[str, list[Path]]]:
    contents = SplitReport()
    digests: dict[str, list[Path]] = {}
    of_size: dict[tuple[int, int], Pair] = {}
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
        for kind, found in zip(remarks, (finding.problems, finding.notes), strict=True):
            for remark in found:
                kind.add(remark, split)
        digests.setdefault(finding.digest, []).append(pair.image)
        if finding.problems:
            continue
        contents.images += 1
        contents.suffixes[pair.image.suffix.lower()] += 1
        contents.sizes[finding.size] += 1
        of_size.setdefault(finding.size, pair)
        low, high = contents.values
        contents.values = min(low, finding.values[0]), max(high, finding.values[1])
        if finding.pixels is not None:
            of_mask = counts_of(finding.pixels, data.decoder)
            contents.counts = of_mask if contents.counts is None else contents.counts + of_mask
    if split != "predict":
        for problem in data.failures(split, of_size):
            remarks[0].add(problem, split)
    return contents, digests


def _find_shared(
    digests: dict[Split, dict[str, list[Path]]],
    problems: _Remarks,
    notes: _Remarks,
    intended: Container[tuple[Split, Split]],
) -> None:
    """Report images that occur twice in a split, or both in training and in evaluation."""
    splits: tuple[Split, ...] = ("train", "val", "test")
    for number, split in enumerate(splits):
        for digest, paths in digests[split].items():
            if len(paths) > 1 and digest:
                text = f"{paths[1]} is the same image as {paths[0]}."
                problems.add(_Remark(text, paths[1], "twin"), split)
        for other in splits[number + 1 :]:
            shared = [d for d in digests[split] if d and d in digests[other]]
            if not shared:
                continue
            same = digests[split].keys() == digests[other].keys()
            if (split, other) == ("val", "test") and same:
                notes.add("test uses the validation images.")
                continue
            if (split, other) in intended:
                notes.add(f"{other} uses images of {split}, as set in the configuration.")
                continue
            cause = f"{split} and {other} share an image"
            for digest in shared:
                one, two = digests[split][digest][0], digests[other][digest][0]
                problems.add(_Remark(f"{cause}: {one} and {two} are the same.", two, cause))


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
            if not self.reader.masks_alone:
                check_alignment([pair], self.reader.decoder, self.reader.image_downscale)
            size = self.reader.size(pair)
        except InputError as error:
            return _Finding(problems=(self._remark(str(error), pair),))
        problems: dict[Reading, str] = {}
        values, pixels = (float("inf"), float("-inf")), np.zeros(VALUES, np.int64)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for window in _windows(pair, size):
                reader = self.reader
                image, _, label, void = (
                    _read_or_note(read, pair, window, problems)
                    for read in (reader.image, reader.extra_channel, reader.label, reader.void)
                )
                if image is not None:
                    shown = as_decimals(image)
                    values = (
                        min(values[0], float(shown.min())),
                        max(values[1], float(shown.max())),
                    )
                if label is not None:
                    pixels += value_counts(label, void)
        return _Finding(
            size,
            values,
            None if pair.label is None else pixels,
            "" if self.reader.masks_alone else _digest(pair),  # equal masks are no twins
            tuple(self._remark(text, pair) for text in problems.values()),
            tuple(self._remark(str(warning.message), pair) for warning in caught),
        )

    def _remark(self, text: str, pair: Pair) -> _Remark:
        files = [] if pair.label is None else self.reader.decoder.files(pair.label)
        files += [file for file in (pair.label, pair.extra, pair.image) if file is not None]
        cause = text
        for file in files:
            cause = cause.replace(str(file), "")
        named = (file for file in files if str(file) in text)
        return _Remark(text, next(named, pair.image), re.sub(r"\d[\d., ()]*", "", cause))


def _read_or_note(
    read: Reading, pair: Pair, window: Window | None, problems: dict[Reading, str]
) -> np.ndarray | None:
    """Read a part of a file, unless another part of it could not be read."""
    if read in problems:
        return None
    try:
        return read(pair, window)
    except InputError as error:
        problems[read] = str(error)
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
