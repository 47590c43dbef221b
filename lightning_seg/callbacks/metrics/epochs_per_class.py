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


def forget_epochs(path: Path, first: int) -> None:
    """Remove the rows of epoch ``first`` and all later epochs."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines[1:] if int(line.split(",", 1)[0]) < first]
    if len(kept) < len(lines) - 1:
        write_atomically(path, "".join([lines[0], *kept]))


def _rounded(value: str | float | None) -> str | float | None:
    return round(value, _DIGITS) if isinstance(value, float) else value
