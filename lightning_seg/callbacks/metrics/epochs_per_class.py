"""CSV file of the metrics of each class in each validated epoch."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.callbacks.metrics.metric_set import Results
from lightning_seg.files import append, write_atomically

_DIGITS = 6


def add_epoch(path: Path, epoch: int, results: Results, class_names: Sequence[str]) -> None:
    """Append one row per class and per merged class; create the file if it does not exist."""
    rows = results.rows(class_names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.exists() or not path.stat().st_size:  # a kill may leave an empty file
        writer.writerow(["epoch", *rows[0]])
    writer.writerows([epoch, *map(_rounded, row.values())] for row in rows)
    append(path, text.getvalue())


def count_rows(path: Path) -> int:
    """Return the number of rows."""
    return len(_lines(path)) - 1


def rows_before(path: Path, epoch: int) -> int:
    """Return the number of rows of earlier epochs."""
    return sum(int(line.split(",", 1)[0]) < epoch for line in _lines(path)[1:])


def keep_rows(path: Path, count: int) -> None:
    """Keep only the first ``count`` rows."""
    lines = _lines(path)
    if count < len(lines) - 1:
        write_atomically(path, "".join(lines[: count + 1]))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def _rounded(value: str | float | None) -> str | float | None:
    return round(value, _DIGITS) if isinstance(value, float) else value
