"""Run folders, and what is read of them."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lightning_seg.errors import InputError

CONFIG, FIT, EPOCHS, CLASSES = "config.yaml", "fit.json", "epochs.jsonl", "epochs_per_class.csv"
METRICS, COUNTS, RECORD = "metrics.json", "counts_per_image.csv", "record.json"
# The splits, and the command that measures on each.
SPLITS = {"test": "test", "val": "validate"}

# Of validation figures in `epochs.jsonl`.
VAL = "val/"

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One run's folder; files are read when they are asked for.

    Args:
        folder: Where it is.
        given_name: The method's name if it was given, else None.
    """

    folder: Path
    given_name: str | None = field(default=None, compare=False)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration; empty where there is none."""
        return self._config(CONFIG)

    def evaluation_config(self, split: str) -> dict[str, Any]:
        """The configuration of the evaluation, or that of the fit where it has none of its own."""
        return self._config(f"config_{SPLITS[split]}.yaml") or self.config

    @cached_property
    def fit(self) -> dict[str, Any]:
        """What the training took; empty where it was not recorded."""
        return read(self.folder / FIT, json.loads) or {}

    @cached_property
    def validated(self) -> list[dict[str, Any]]:
        """The epochs that have validation figures."""
        return [epoch for epoch in self.epochs if any(key.startswith(VAL) for key in epoch)]

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """All recorded epochs."""
        return read(self.folder / EPOCHS, _lines) or []

    @cached_property
    def last_per_class(self) -> dict[str, dict[str, float | None]]:
        """The figures of each class in the last validated epoch, by class and name."""
        rows = read(self.folder / CLASSES, _rows) or []
        last = rows[-1]["epoch"] if rows else ""
        return {
            row["class"]: {k: float(v) if v else None for k, v in row.items() if k not in _KEYS}
            for row in rows
            if row["epoch"] == last
        }

    def record(self, split: str) -> dict[str, Any]:
        """What the evaluation was and took; empty where it was not recorded."""
        return read(self.folder / split / RECORD, json.loads) or {}

    def is_evaluated(self, split: str) -> bool:
        """Whether there are figures of each image of a split."""
        return all((self.folder / split / name).is_file() for name in (METRICS, COUNTS))

    def _config(self, name: str) -> dict[str, Any]:
        found = read(self.folder / name, yaml.safe_load)
        return found if isinstance(found, dict) else {}


_KEYS = ("epoch", "class")


def find_runs(argument: str | Path) -> list[Run]:
    """The runs that an argument names: a run's folder, or one that holds runs at any depth.

    Args:
        argument: A folder, or ``NAME=FOLDER[,FOLDER...]``, which gives the method's name.

    Raises:
        InputError: There is no such folder, or no run in it.
    """
    text = str(argument)
    name, equals, folders = text.partition("=")
    if not equals or Path(text).exists():
        return [Run(folder) for folder in _folders(Path(text))]
    if not name or not folders:
        raise InputError(f"{text!r} names no runs; write RUN or NAME=RUN,RUN.")
    return [Run(found, name) for folder in folders.split(",") for found in _folders(Path(folder))]


def _folders(top: Path) -> list[Path]:
    if not top.is_dir():
        raise InputError(f"{top} is not there; give a run's folder, or one that holds runs.")
    found = list(_walk(top))
    if not found:
        raise InputError(
            f"{top} holds no run: no folder in it has {FIT}, {EPOCHS}, test/{METRICS} or "
            f"val/{METRICS}."
        )
    return found


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
    """A file's content, or None where there is no such file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, yaml.YAMLError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())}); leave the run out or make "
            "it again."
        ) from error


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))
