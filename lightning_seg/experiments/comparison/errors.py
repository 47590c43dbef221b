"""Causes of the wrong pixels near boundaries, by method."""

from collections.abc import Iterable, Sequence

from lightning_seg.experiments.comparison.names import mean_of
from lightning_seg.experiments.comparison.runs import Run
from lightning_seg.metrics.functional.boundary_errors import CAUSES

# Of the widths of all runs, the one nearest to it is shown.
_WIDTH = 5


def shown_width(runs: Iterable[Run], split: str) -> int | None:
    """Return the band's half-width to show, None unless all runs have counted causes for it."""
    widths = [{int(row["width"]) for row in run.boundary_errors(split)} for run in runs]
    common = set.intersection(*widths) if widths else set()
    return min(common, key=lambda width: (abs(width - _WIDTH), width), default=None)


def mean_counts(runs: Sequence[Run], split: str, width: int) -> dict[str, float]:
    """Return the wrong pixels in the bands by cause: means over the runs."""
    counts = [_counts(run, split, width) for run in runs]
    return {cause: mean_of([each[cause] for each in counts]) for cause in CAUSES}


def _counts(run: Run, split: str, width: int) -> dict[str, int]:
    rows = [
        row
        for row in run.boundary_errors(split)
        if int(row["width"]) == width and row["as"] == "truth"
    ]
    return {cause: sum(int(row[cause]) for row in rows) for cause in CAUSES}
