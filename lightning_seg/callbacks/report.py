"""Measured figures as a table on the terminal and as files."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lightning_seg.callbacks.measures import Measured
from lightning_seg.files import write_atomically

_PER_CLASS = {
    "iou": "IoU",
    "f1": "F1",
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
}

_TRIMAP = "trimap_iou/"


@dataclass
class Report:
    """What was measured on one dataloader.

    Args:
        title: Such as ``test``.
        measured: The figures.
        class_names: Names of the classes.
        settings: How they were measured, for the record.
        images: One row an image: number, name and scalars; of all processes.
    """

    title: str
    measured: Measured
    class_names: Sequence[str]
    settings: dict[str, Any]
    images: list[dict[str, Any]]

    def print(self) -> None:
        """Prints one table: figures of each class, their means, and mean trimap IoU by width."""
        Console().print(self._table())

    def write(self, folder: Path) -> None:
        """Writes ``metrics.json``, ``per_class.csv`` and ``per_image.csv``."""
        scalars = {name: _number(value.item()) for name, value in self.measured.scalars.items()}
        rows = self._class_rows()
        record = {
            "scalars": scalars,
            "per_class": {row.pop("class"): row for row in rows},
            "settings": self.settings,
            "samples": len(self.images),
        }
        write_atomically(folder / "metrics.json", json.dumps(record, indent=2) + "\n")
        write_atomically(folder / "per_class.csv", _csv(self._class_rows()))
        images = [{"name": row["name"], **_without(row, "number", "name")} for row in self.images]
        write_atomically(folder / "per_image.csv", _csv(images))

    def _class_rows(self) -> list[dict[str, Any]]:
        columns = {name: values.tolist() for name, values in self.measured.per_class.items()}
        return [
            {"class": name, **{key: _number(column[k]) for key, column in columns.items()}}
            for k, name in enumerate(self.class_names)
        ]

    def _table(self) -> Table:
        accuracy = self.measured.scalars["accuracy"].item()
        table = Table(
            title=f"{self.title}: {len(self.images)} images, pixel accuracy {accuracy:.4f}",
            title_justify="left",
        )
        table.add_column("class")
        for heading in _PER_CLASS.values():
            table.add_column(heading, justify="right")
        for row in self._class_rows():
            table.add_row(str(row["class"]), *(_cell(row[key]) for key in _PER_CLASS))
        table.add_section()
        scalars = self.measured.scalars
        table.add_row("mean", *(_cell(scalars[key].item()) for key in _PER_CLASS), style="bold")
        table.add_section()
        for name, value in scalars.items():
            if name.startswith(_TRIMAP):
                table.add_row(f"trimap, {name.removeprefix(_TRIMAP)} px", _cell(value.item()))
        return table


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _number(v) for k, v in row.items()})
    return text.getvalue()


def _without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def _number(value: Any) -> Any:
    # JSON and CSV know no NaN: what was not measured is null, or empty.
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
