"""Run folders and the files read from them."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from os.path import commonpath
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.names import some
from lightning_seg.own_files import refuse_foreign, write_own

CONFIG, FIT, EPOCHS, CLASSES = "config.yaml", "fit.json", "epochs.jsonl", "epochs_per_class.csv"
METRICS, COUNTS, RECORD = "metrics.json", "counts_per_image.csv", "record.json"
ERRORS = "boundary_errors.csv"
SPLITS = ("test", "val")
# A sweep's note in each of its runs, and its folder of runs that others depend on.
SWEEP, _BEFORE = "sweep.json", "before"

# Prefix of validation scores in `epochs.jsonl`.
VAL = "val/"

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """Folder of one run; files are read on demand.

    Args:
        folder: Path of the folder.
        given_name: Name of the method if given on the command line, else None.
    """

    folder: Path
    given_name: str | None = field(default=None, compare=False)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Configuration; empty if there is none."""
        return self._config(CONFIG)

    def evaluation_config(self, split: str) -> dict[str, Any]:
        """Return the configuration of the evaluation, or else that of fit."""
        return self._config(f"{split}/{CONFIG}") or self.config

    @cached_property
    def fit(self) -> dict[str, Any]:
        """Record of the training; empty if there is none."""
        return read(self.folder / FIT, json.loads) or {}

    @cached_property
    def validated(self) -> list[dict[str, Any]]:
        """Epochs with validation scores."""
        return [epoch for epoch in self.epochs if any(key.startswith(VAL) for key in epoch)]

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """All recorded epochs."""
        epochs = read(self.folder / EPOCHS, _lines) or []
        return [{_measure(name): value for name, value in epoch.items()} for epoch in epochs]

    @cached_property
    def last_per_class(self) -> dict[str, dict[str, float | None]]:
        """Scores of each class in the last validated epoch, by class and name."""
        rows = read(self.folder / CLASSES, _rows) or []
        last = rows[-1]["epoch"] if rows else ""
        return {
            row["class"]: {k: float(v) if v else None for k, v in row.items() if k not in _KEYS}
            for row in rows
            if row["epoch"] == last
        }

    def record(self, split: str) -> dict[str, Any]:
        """Return the record of the evaluation; empty if there is none."""
        return read(self.folder / split / RECORD, json.loads) or {}

    def boundary_errors(self, split: str) -> list[dict[str, str]]:
        """Return the wrong pixels by width, class and cause; empty if they were not counted."""
        return read(self.folder / split / ERRORS, _rows) or []

    def is_evaluated(self, split: str) -> bool:
        """Return whether there are per-image counts of a split."""
        return all((self.folder / split / name).is_file() for name in (METRICS, COUNTS))

    def _config(self, name: str) -> dict[str, Any]:
        content = read(self.folder / name, yaml.safe_load)
        return content if isinstance(content, dict) else {}


_KEYS = ("epoch", "class")


def find_runs(argument: str | Path) -> list[Run]:
    """Return the runs of an argument: a run's folder, or a folder with runs at any depth.

    The runs of a sweep are named by its axes with several choices, other than seeds and folds; runs
    that its others depend on are left out.

    Args:
        argument: A folder, or ``NAME=FOLDER[,FOLDER...]``, which gives the method's name.

    Raises:
        InputError: If there is no such folder, or no run in it.
    """
    return find_all([argument])[0]


def find_all(arguments: Iterable[str | Path]) -> tuple[list[Run], list[str]]:
    """Return the runs of several arguments, and notes on what was left out.

    Of a method's folders, those without a run are left out, unless all are.
    """
    runs, notes = [], []
    for argument in arguments:
        text = str(argument)
        name, equals, folders = text.partition("=")
        if not equals or Path(text).exists():
            runs += _named_by_sweep(_folders([Path(text)]))
            continue
        if not name or not folders:
            raise InputError(f"{text!r} names no runs; write RUN or NAME=RUN,RUN.")
        tops = [Path(folder) for folder in folders.split(",")]
        runs += [Run(folder, name) for folder in _folders(tops)]
        if empty := [top for top in tops if not list(_walk(top))]:
            notes.append(f"{name}: left out, as they hold no run: {some(empty)}.")
    return runs, notes


def _named_by_sweep(folders: Sequence[Path]) -> list[Run]:
    notes = {folder: read(folder / SWEEP, json.loads) for folder in folders}
    labels = {
        folder: note["labels"]
        for folder, note in notes.items()
        if note is not None and _BEFORE not in [parent.name for parent in islice(folder.parents, 4)]
    }
    choices: dict[str, set[str]] = {}
    for each in labels.values():
        for axis, label in each.items():
            choices.setdefault(axis, set()).add(label)
    telling = [a for a, of in choices.items() if a not in ("seed", "fold") and len(of) > 1]
    kept = [folder for folder in folders if notes[folder] is None or folder in labels] or folders
    return [
        Run(folder, ", ".join(of[axis] for axis in telling if axis in of) or None)
        for folder, of in ((folder, labels.get(folder, {})) for folder in kept)
    ]


def _folders(tops: Sequence[Path]) -> list[Path]:
    for top in tops:
        if not top.is_dir():
            raise InputError(f"{top} does not exist; give a run's folder, or a folder with runs.")
    folders = [folder for top in tops for folder in _walk(top)]
    if not folders:
        raise InputError(
            f"{some(tops)} contains no run: no folder in it has {FIT}, {EPOCHS}, test/{METRICS} or "
            f"val/{METRICS}."
        )
    return folders


def _walk(folder: Path) -> Iterator[Path]:
    marks = (FIT, EPOCHS, *(f"{split}/{METRICS}" for split in SPLITS))
    if any((folder / mark).is_file() for mark in marks):
        yield folder
        return
    with os.scandir(folder) as entries:
        below = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    for name in below:
        yield from _walk(folder / name)


def read(path: Path, parse: Callable[[str], T]) -> T | None:
    """Return the parsed content of a file, or None if it does not exist."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, yaml.YAMLError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())}); leave the run out or "
            "repeat it."
        ) from error


def _measure(logged: str) -> str:
    """Return the name of a measure in the files, ``trimap_iou/3``, for ``trimap_iou_3px``."""
    return re.sub(r"_(\d+)px$", r"/\1", logged)


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


FILES = (
    SWEEP,
    CONFIG,
    FIT,
    EPOCHS,
    CLASSES,
    *(f"{split}/{name}" for split in SPLITS for name in (CONFIG, METRICS, COUNTS, ERRORS, RECORD)),
)


def export_record(run_dir: str | Path, output: str | Path) -> list[Path]:
    """Copy the files that `compare` reads, a few hundred kB of text, and return their paths.

    Raises:
        InputError: If there are none, source and destination are the same, or a file would be
            replaced that is not our own.
    """
    run_dir, output = Path(run_dir), Path(output)
    names = [name for name in FILES if (run_dir / name).is_file()]
    if not names:
        raise InputError(f"{run_dir} has no records of a run.")
    if run_dir.resolve() == output.resolve():
        raise InputError(f"{output} is the run itself; give another folder for its records.")
    contents = {output / name: (run_dir / name).read_bytes() for name in names}
    changed = {
        path: content
        for path, content in contents.items()
        if not path.is_file() or path.read_bytes() != content
    }
    refuse_foreign(changed)
    for path, content in changed.items():
        write_own(path, content)
    return list(contents)


def export_records(runs: Sequence[Run], output: str | Path) -> None:
    """Copy the records of several runs, preserving their relative folders."""
    folders = [run.folder.resolve() for run in runs]
    top = Path(commonpath(folders)) if len(folders) > 1 else folders[0].parent
    for folder in folders:
        export_record(folder, Path(output) / folder.relative_to(top))
