"""``lightning-seg data check``: read a whole dataset and report all problems."""

from argparse import Namespace
from collections.abc import Iterator

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.inspection import DataReport, inspect_dataset
from lightning_seg.data.sampling.class_counts import ClassCounts, balanced_weights

_SHOWN_SIZES = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add no options."""


def run(data: SegmentationDataModule, options: Namespace) -> int:
    """Print the report; return 1 if there are problems, else 0."""
    data.prepare_data()
    report = inspect_dataset(data, _with_progress)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{type(data).__name__}, {data.root.absolute()}: {data.num_classes} classes, "
        f"{data.in_channels} channels. {data.about_splits()}".strip()
    )
    console.print(_splits(data, report))
    if report.splits["train"].counts is not None:
        console.print(_classes(data, report))
    for note in report.notes:
        console.print(f"Note: {note}", markup=False)
    for problem in report.problems:
        console.print(f"Problem: {problem}", markup=False)
    count = len(report.problems)
    notes = f" {len(report.notes)} note(s)." if report.notes else ""
    console.print((f"{count} problem(s)." if count else "No problems found.") + notes)
    return 1 if count else 0


def _with_progress(items: Iterator, count: int, split: str) -> Iterator:
    yield from track(items, f"Reading {split}", total=count, disable=not count, transient=True)


def _splits(data: SegmentationDataModule, report: DataReport) -> Table:
    table = Table("split", "images", "files", "width x height", "values", "ignored pixels")
    for split, found in report.splits.items():
        files = ", ".join(f"{n} {suffix}" for suffix, n in sorted(found.suffixes.items()))
        if found.images and not files:
            files = "as above"
        low, high = found.values
        ignored = found.counts.ignored if found.counts else 0
        total = ignored + (_labelled(data, found.counts) if found.counts else 0)
        table.add_row(
            split,
            str(found.images),
            files,
            _sizes(report, split),
            f"{low:.2f} to {high:.2f}" if low <= high else "",
            f"{ignored / total:.1%}" if total else "",
        )
    return table


def _sizes(report: DataReport, split: str) -> str:
    sizes = report.splits[split].sizes  # type: ignore[index]
    shown = [f"{width} x {height}" for (height, width), _ in sizes.most_common(_SHOWN_SIZES)]
    more = len(sizes) - _SHOWN_SIZES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _classes(data: SegmentationDataModule, report: DataReport) -> Table:
    title = "Share of pixels" + ("" if data.multi_label else ", and weights by median frequency")
    table = Table(title=title, title_justify="left")
    for heading in ("class", "colour"):
        table.add_column(heading, no_wrap=True)
    counted = {
        split: found.counts for split, found in report.splits.items() if found.counts is not None
    }
    for split in counted:
        table.add_column(split, justify="right", no_wrap=True)
    train, weights = counted["train"], None
    if not data.multi_label:
        table.add_column("weight", justify="right", no_wrap=True)
        weights = balanced_weights(train, "median_frequency") if any(train.pixels) else None
    for number, name in enumerate(data.class_names):
        red, green, blue = data.class_colors[number]
        table.add_row(
            f"{number} {name}",
            f"[on rgb({red},{green},{blue})]   [/] {red} {green} {blue}",
            *(
                f"{counts.pixels[number] / max(_labelled(data, counts, number), 1):.2%}"
                for counts in counted.values()
            ),
            *([] if data.multi_label else [f"{weights[number]:.3g}" if weights else ""]),
        )
    return table


def _labelled(data: SegmentationDataModule, counts: ClassCounts, number: int | None = None) -> int:
    """Return the pixels that are not ignored; with several labels, those of one or of all."""
    if not data.multi_label:
        return sum(counts.pixels)
    return sum(counts.pixels_around) if number is None else counts.pixels_around[number]
