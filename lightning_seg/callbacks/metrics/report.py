"""Report of results: tables on the terminal, and files."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lightning_seg.callbacks.metrics.charts import Curve, draw_confusion, draw_curves, draw_shares
from lightning_seg.callbacks.metrics.metric_set import Results
from lightning_seg.callbacks.pictures.pictures import png, render
from lightning_seg.files import write_atomically
from lightning_seg.metrics.functional.boundary_errors import CAUSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REGIONS = {
    "iou": "IoU",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "e_measure": "E-measure",
}
_BOUNDARIES = {
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
    "boundary_precision": "precision",
    "boundary_recall": "recall",
    "surface_distance": "mean px",
    "hausdorff95": "HD95 px",
}
_WIDTHS = {"trimap_iou": "trimap IoU", "interior_iou": "interior IoU", "boundary_f": "boundary F"}
_ALONG = {
    "trimap_iou": "half-width of the band, px",
    "interior_iou": "half-width of the band left out, px",
    "boundary_f": "tolerance, px",
}


@dataclass
class Report:
    """Results of one dataloader.

    Args:
        title: Title, such as ``test``.
        results: Scores of the dataset.
        class_names: Names of the classes.
        settings: Settings of the metrics, for the record.
        images: One row per image, of all processes: number, name, scalars, ``confusion``,
            ``counts`` and ``merged_counts`` (see `MetricSet.images`).
        count_names: Names of the rows of ``counts``.
    """

    title: str
    results: Results
    class_names: Sequence[str]
    settings: dict[str, Any]
    images: list[dict[str, Any]]
    count_names: Sequence[str]

    def print(self) -> None:
        """Print the region and boundary metrics of each class, and the means by width."""
        accuracy, mcc = (self.results.scalars[name].item() for name in ("accuracy", "mcc"))
        title = (
            f"{self.title}: {len(self.images)} images, pixel accuracy {accuracy:.4f}, "
            f"Matthews correlation {mcc:.4f}"
        )
        console = Console()
        if not console.is_terminal:  # a fixed width for files and pipes
            console = Console(width=100)
        console.print(title, style="bold", highlight=False, soft_wrap=True)
        for table in self.tables():
            console.print(table)

    def tables(self) -> list[Table]:
        """Return the tables of scores by class and by width, and of the causes of errors."""
        return [
            self._class_table("Regions", _REGIONS),
            self._class_table("Boundaries", _BOUNDARIES),
            *self._additional_tables(),
            self._width_table(),
            *self._error_tables(),
        ]

    def write(self, folder: Path) -> None:
        """Write the results as JSON and CSV, and the charts."""
        scalars = {name: _number(value.item()) for name, value in self.results.scalars.items()}
        record = {
            "scalars": scalars,
            "per_class": {row.pop("class"): row for row in self._class_rows()},
            "merged": {row.pop("class"): row for row in self._merged_rows()},
            "settings": self.settings,
            "samples": len(self.images),
            "truth": self._truth_hash(),
            "images": [image["name"] for image in self.images],
        }
        write_atomically(folder / "metrics.json", json.dumps(record, indent=2) + "\n")
        write_atomically(folder / "per_class.csv", _csv(self.rows()))
        write_atomically(folder / "counts_per_image.csv", self._counts_csv())
        if self.results.errors is not None:
            write_atomically(folder / "boundary_errors.csv", _csv(self._error_rows()))
        hidden = ("number", "name", "confusion", "counts", "merged_counts")
        images = [{"name": row["name"], **_without(row, *hidden)} for row in self.images]
        write_atomically(folder / "per_image.csv", _csv(images))
        write_atomically(folder / "confusion.csv", _csv(self._confusion_rows(self._confusion)))
        per_image = [
            {"name": image["name"], **row}
            for image in self.images
            for row in self._confusion_rows(image["confusion"], skip_empty=True)
        ]
        write_atomically(folder / "confusion_per_image.csv", _csv(per_image))
        for name, pixels in self.pictures().items():
            write_atomically(folder / f"{name}.png", png(pixels))

    def rows(self) -> list[dict[str, Any]]:
        """Return the scores of each class and each merged class, see `Results.rows`."""
        return self.results.rows(self.class_names)

    def _truth_hash(self) -> str:
        """Return a hash of the image names and the class pixel counts of their ground truth.

        It does not depend on the model or on the order of the images.
        """
        row = self.count_names.index("truth")
        truth = sorted((image["name"], image["counts"][row].tolist()) for image in self.images)
        return hashlib.sha256(json.dumps(truth).encode()).hexdigest()

    def _counts_csv(self) -> str:
        """Return the counts of each image and class, without classes that neither map holds."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "class", *self.count_names])
        for image in self.images:
            columns = dict(zip(self.class_names, image["counts"].T.tolist(), strict=True))
            columns |= {name: row.tolist() for name, row in image["merged_counts"].items()}
            for name, column in columns.items():
                if any(column):
                    missing = [""] * (len(self.count_names) - len(column))
                    writer.writerow([image["name"], name, *column, *missing])
        return text.getvalue()

    def pictures(self) -> "Mapping[str, NDArray[np.uint8]]":
        """Return charts of the scores by width and of the confusion matrix: (H, W, 3) by name."""
        return self._pictures

    @cached_property
    def _pictures(self) -> "dict[str, NDArray[np.uint8]]":
        curves, means = {}, {}
        for kind, heading in _WIDTHS.items():
            curve = self._curve(kind)
            if curve:
                curves[heading] = (_ALONG[kind], curve)
                scalars = self.results.scalars
                means[heading] = {width: scalars[f"{kind}/{width}"].item() for width in curve}
        count = f"{self.title} ({len(self.images)} images)"
        drawn = {
            "curves": draw_curves(f"{count}: scores by width", curves, means, self.class_names),
        }
        if self._confusion.ndim == 2:
            drawn["confusion"] = draw_confusion(count, self._confusion, self.class_names)
        shares = self._error_shares()
        if shares is not None:
            drawn["boundary_errors"] = draw_shares(
                f"{count}: causes of wrong pixels near boundaries",
                [f"within\n{width} px" for width in self.settings["trimap_widths"]],
                CAUSES,
                shares,
            )
        return {name: render(figure) for name, figure in drawn.items()}

    def _curve(self, kind: str) -> Curve:
        columns = self.results.per_class
        return {width: columns[f"{kind}/{width}"].cpu().numpy() for width in _widths(columns, kind)}

    @property
    def _confusion(self) -> "NDArray[np.int64]":
        return self.results.confusion.cpu().numpy()

    def _confusion_rows(
        self, confusion: "NDArray[np.int64]", skip_empty: bool = False
    ) -> list[dict[str, Any]]:
        if confusion.ndim == 3:  # of each label against the rest
            names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
            return [
                {"class": label, **dict(zip(names, matrix.flatten().tolist(), strict=True))}
                for label, matrix in zip(self.class_names, confusion, strict=True)
            ]
        return [
            {"truth": name, **dict(zip(self.class_names, row.tolist(), strict=True))}
            for name, row in zip(self.class_names, confusion, strict=True)
            if row.any() or not skip_empty
        ]

    def _class_rows(self) -> list[dict[str, Any]]:
        return self.rows()[: len(self.class_names)]

    def _merged_rows(self) -> list[dict[str, Any]]:
        return self.rows()[len(self.class_names) :]

    def _class_table(self, title: str, headings: Mapping[str, str]) -> Table:
        headings = {key: text for key, text in headings.items() if key in self.results.per_class}
        excluded = self.settings["excluded_from_mean"]
        table = Table(title=title, title_justify="left")
        table.add_column("class")
        for heading in headings.values():
            table.add_column(heading, justify="right")
        for row in self._class_rows():
            mark = " (not in mean)" if row["class"] in excluded else ""
            table.add_row(f"{row['class']}{mark}", *(_cell(row[key]) for key in headings))
        table.add_section()
        means = (self.results.scalars[key].item() for key in headings)
        table.add_row("mean", *map(_cell, means), style="bold")
        table.add_section()
        for row in self._merged_rows():
            if any(row[key] is not None for key in headings):
                table.add_row(row["class"], *(_cell(row[key]) for key in headings))
        return table

    def _additional_tables(self) -> list[Table]:
        """Return the table of additional metrics with one value per class, if there are any."""
        additional = self.settings.get("metrics", {})
        names = {name: name for name in additional if name in self.results.per_class}
        return [self._class_table("Additional metrics", names)] if names else []

    def _width_table(self) -> Table:
        scalars = self.results.scalars
        widths = sorted({width for kind in _WIDTHS for width in _widths(scalars, kind)})
        table = Table(title="Means by width", title_justify="left")
        table.add_column("width")
        for heading in _WIDTHS.values():
            table.add_column(heading, justify="right")
        for width in widths:
            values = (scalars.get(f"{kind}/{width}") for kind in _WIDTHS)
            cells = (_cell(None if value is None else value.item()) for value in values)
            table.add_row(f"{width} px", *cells)
        return table

    def _error_shares(self) -> "NDArray[np.float64] | None":
        """Return the share of each cause (W, C), by width; None if there are no errors."""
        if self.results.errors is None:
            return None
        counts = self.results.errors[:, :, 0].sum(dim=1).double().cpu().numpy()
        totals = counts.sum(axis=1, keepdims=True)
        return counts / totals if totals.all() else None

    def _error_tables(self) -> list[Table]:
        """Return the table of causes of wrong pixels near boundaries, if there are any."""
        shares = self._error_shares()
        if shares is None:
            return []
        table = Table(title="Causes of wrong pixels near boundaries, %", title_justify="left")
        table.add_column("within")
        for cause in CAUSES:
            table.add_column(cause.replace("_", " "), justify="right")
        for width, row in zip(self.settings["trimap_widths"], shares, strict=True):
            table.add_row(f"{width} px", *(f"{100 * share:.1f}" for share in row))
        return [table]

    def _error_rows(self) -> list[dict[str, Any]]:
        """Return the wrong pixels by width and class, once by true and once by predicted class."""
        assert self.results.errors is not None, "the caller checks it"
        return [
            {"width": width, "class": name, "as": kind, **dict(zip(CAUSES, row, strict=True))}
            for width, by_class in zip(
                self.settings["trimap_widths"], self.results.errors.tolist(), strict=True
            )
            for name, kinds in zip(self.class_names, by_class, strict=True)
            for kind, row in zip(("truth", "predicted"), kinds, strict=True)
        ]


def _widths(names: Iterable[str], kind: str) -> list[int]:
    return [int(name.removeprefix(f"{kind}/")) for name in names if name.startswith(f"{kind}/")]


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
    # JSON has no NaN: missing values become null there, and empty in CSV.
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
