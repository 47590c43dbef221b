"""Run folders and the files read from them."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os.path import commonpath
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lightning_seg.checkpoints import checksum
from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.names import some
from lightning_seg.own_files import refuse_foreign, write_own

CONFIG, FIT, EPOCHS, CLASSES = "config.yaml", "fit.json", "epochs.jsonl", "epochs_per_class.csv"
CHECKSUM = "checkpoint_checksum"
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

    def is_outdated(self, split: str) -> bool:
        """Return whether the evaluated checkpoint has been replaced since."""
        record = self.record(split)
        path, evaluated = self.folder / (record.get("checkpoint") or ""), record.get(CHECKSUM)
        return bool(evaluated) and path.is_file() and checksum(path) != evaluated

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

    Of a method's folders, those without a run are left out, unless all are. If several sweeps have
    runs of one name, their folder is added to it.
    """
    found: list[tuple[Path, str | None]] = []
    notes = []
    for argument in map(str, arguments):
        name, folders = split_name(argument)
        if name is None:
            found += [(folder, None) for folder in _folders([argument])]
            continue
        if not name or not folders:
            raise InputError(f"{argument!r} names no runs; write RUN or NAME=RUN,RUN.")
        tops = folders.split(",")
        found += [(folder, name) for folder in _folders(tops)]
        if empty := [top for top in tops if not list(_walk(Path(top)))]:
            notes.append(f"{name}: left out, as they hold no run: {some(empty)}.")
    names = _sweep_names([folder for folder, name in found if name is None])
    return [Run(folder, name or names.get(folder)) for folder, name in found], notes


def split_name(argument: str) -> tuple[str | None, str]:
    """Split ``NAME=PATH`` at its first =, unless there is a path of that name."""
    name, equals, path = argument.partition("=")
    return (name, path) if equals and not os.path.exists(argument) else (None, argument)


def _sweep_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the names of runs of sweeps whose methods have one."""
    labels = {folder: note["labels"] for folder in folders if (note := _sweep_note(folder))}
    choices: dict[str, set[str]] = {}
    for each in labels.values():
        for axis, label in each.items():
            choices.setdefault(axis, set()).add(label)
    telling = [a for a, of in choices.items() if a not in ("seed", "fold") and len(of) > 1]
    names = {
        # On the command line, a name ends at the first =.
        folder: ", ".join(of[axis] for axis in telling if axis in of).replace("=", " ")
        for folder, of in labels.items()
        if any(axis in of for axis in telling)
    }
    sweeps = {folder: _sweep_folder(folder, labels[folder]) for folder in names}
    if len({(name, sweeps[folder]) for folder, name in names.items()}) > len(set(names.values())):
        top = commonpath(sweeps.values())
        for folder, sweep in sweeps.items():
            within = sweep.relative_to(top)
            names[folder] = f"{within if within.name else sweep.name}, {names[folder]}"
    return names


def _sweep_note(folder: Path) -> dict[str, Any] | None:
    """Return a sweep's note in the folder of its run, None if there is none."""
    note = read(folder / SWEEP, json.loads)
    return note if isinstance(note, dict) and isinstance(note.get("labels"), dict) else None


def _sweep_folder(folder: Path, labels: Mapping[str, str]) -> Path:
    """Return the folder above those that are named by a run's labels."""
    folder = folder.resolve()
    for axis, label in reversed(list(labels.items())):
        if folder.name == (f"seed{label}" if axis == "seed" else label):
            folder = folder.parent
    return folder


def _is_before(folder: Path) -> bool:
    """Return whether other runs of a sweep depend on this one."""
    note = _sweep_note(folder)
    if note is None:
        return False
    if "name" in note:
        return str(note["name"]).startswith(f"{_BEFORE}/")
    return _sweep_folder(folder, note["labels"]).parent.name == _BEFORE


def _folders(tops: Sequence[str]) -> list[Path]:
    for top in tops:
        if not os.path.isdir(top):
            what = "is a file" if os.path.exists(top) else "does not exist"
            raise InputError(f"{top} {what}; give a run's folder, or a folder with runs.")
    folders = [folder for top in tops for folder in _walk(Path(top))]
    if not folders:
        raise InputError(
            f"{some(tops)} contains no run: no folder in it has {FIT}, {EPOCHS}, test/{METRICS} or "
            f"val/{METRICS}."
        )
    return [folder for folder in folders if not _is_before(folder)] or folders


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
    """Parse JSON lines; the last one, without its end, may be cut by a kill or still be written."""
    *lines, last = text.split("\n")
    records = [json.loads(line) for line in lines if line.strip()]
    try:
        return [*records, json.loads(last)]
    except json.JSONDecodeError:
        return records


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
