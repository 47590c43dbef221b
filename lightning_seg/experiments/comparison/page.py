"""Page of a comparison as texts, tables and pictures, for Markdown or HTML."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lightning_seg.experiments.comparison.compare import Comparison, Result
from lightning_seg.experiments.comparison.convergence import shared_curve
from lightning_seg.experiments.comparison.figures import OVER_SETTING
from lightning_seg.experiments.comparison.names import (
    NONE,
    duration,
    label,
    labels,
    mean_of,
    score,
    signed,
)

_SPLITS = {"test": "test", "val": "validation"}
_BY_CLASS = ("iou", "boundary_iou", "boundary_f")
_ABOVE, _BELOW = "▲", "▼"


@dataclass(frozen=True)
class Heading:
    """Title of a section."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of cells below headings; the first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    has_numbers: bool = True


@dataclass(frozen=True)
class Picture:
    """PNG file in the comparison's folder, and its caption."""

    name: str
    about: str


Block = Heading | Text | Items | Table | Picture


def page(comparison: Comparison, pictures: Sequence[str]) -> list[Block]:
    """Return all blocks, from the verdicts to the runs.

    Args:
        comparison: The comparison.
        pictures: Names of the available pictures.
    """
    blocks: list[Block] = [Heading(_title(comparison), 1), Text(_about(comparison))]
    if comparison.notes:
        blocks.append(Items(comparison.notes))
    for part in (_verdicts, _scores, _differences, _trimaps, _classes, _training, _runs, _how):
        blocks += part(comparison)
    return [b for b in blocks if not isinstance(b, Picture) or b.name in pictures]


def _title(comparison: Comparison) -> str:
    names = [result.method.name for result in comparison.results]
    split = _SPLITS[comparison.split]
    shown = ", ".join(names) if len(names) <= 4 else f"{len(names)} methods"
    return f"{shown}: {split} figures"


def _about(comparison: Comparison) -> str:
    split = _SPLITS[comparison.split]
    counts = sorted({len(result.runs) for result in comparison.results})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    several = "runs" if counts[-1] > 1 else "run"
    where = (
        f"{comparison.images} {split} images"
        if comparison.has_intervals
        else f"the {split} scores of the last validated epoch"
    )
    spread = " Means over runs ± their standard deviation." if counts[-1] > 1 else ""
    return f"{where[0].upper()}{where[1:]}, {runs} {several} per method.{spread}"


def _compared(comparison: Comparison) -> list[Result]:
    return [result for result in comparison.results if result.difference is not None]


def _verdicts(comparison: Comparison) -> Iterator[Block]:
    if not comparison.has_intervals or not _compared(comparison):
        return
    yield Heading("Verdicts")
    lines = []
    for result in _compared(comparison):
        assert result.difference is not None
        by_verdict: dict[str, list[str]] = {"helps": [], "hurts": [], "not shown": []}
        for row, measure in enumerate(comparison.measures):
            if verdict := result.difference.verdict(row, 0):
                by_verdict[verdict].append(measure)
        parts = [
            f"{word} {labels(by_verdict[word])}" for word in ("helps", "hurts") if by_verdict[word]
        ]
        if by_verdict["not shown"]:
            parts.append(f"not shown for {labels(by_verdict['not shown'])}")
        lines.append(f"{result.method.name} against {result.difference.baseline}: "
                     f"{'; '.join(parts)}.")  # fmt: skip
    yield Items(lines)


def _plain(comparison: Comparison) -> list[int]:
    return [i for i, m in enumerate(comparison.measures) if not m.startswith("trimap_iou/")]


def _bands(comparison: Comparison) -> list[int]:
    return [i for i, m in enumerate(comparison.measures) if m.startswith("trimap_iou/")]


def _score_table(comparison: Comparison, rows: Sequence[int], headings: Sequence[str]) -> Table:
    cells = []
    for result in comparison.results:
        mean, deviation = result.mean, result.deviation
        scores = (
            score(mean[row, 0], None if deviation is None else deviation[row, 0]) for row in rows
        )
        cells.append([result.method.name, str(len(result.runs)), *scores])
    return Table(["method", "runs", *headings], cells)


def _scores(comparison: Comparison) -> Iterator[Block]:
    rows = _plain(comparison)
    yield Heading("Scores")
    yield _score_table(comparison, rows, [label(comparison.measures[row]) for row in rows])
    yield Text("Means over the classes with a value that are not excluded from means.")


def _difference_table(
    comparison: Comparison, rows: Sequence[int], headings: Sequence[str]
) -> Table:
    cells = []
    for result in _compared(comparison):
        cells.append([result.method.name, *(_difference(result, row) for row in rows)])
    return Table(["method", *headings], cells)


def _difference(result: Result, row: int, column: int = 0) -> str:
    difference = result.difference
    assert difference is not None
    text = signed(difference.mean[row, column])
    if difference.low is None or difference.high is None:
        return text
    verdict = difference.verdict(row, column)
    if not verdict:
        return text
    low, high = (signed(bound[row, column]) for bound in (difference.low, difference.high))
    return f"{text} [{low}, {high}] {verdict}"


def _differences(comparison: Comparison) -> Iterator[Block]:
    if not _compared(comparison):
        return
    rows = _plain(comparison)
    yield Heading("Differences")
    yield _difference_table(comparison, rows, [label(comparison.measures[row]) for row in rows])
    yield Text(_baselines(comparison))
    yield Picture("differences", "Differences of the mean scores and their 95 % intervals")
    for measure in OVER_SETTING:
        yield Picture(f"setting_{measure}", f"{label(measure)} over the setting that was swept")


def _baselines(comparison: Comparison) -> str:
    compared = _compared(comparison)
    names = dict.fromkeys(r.difference.baseline for r in compared if r.difference)
    text = f"From {', '.join(names)}" + (" of the same network." if len(names) > 1 else ".")
    if comparison.has_intervals:
        text += (
            " In brackets the 95 % interval: helps if it lies above 0, hurts if it lies below, "
            "else not shown."
        )
    return text


def _trimaps(comparison: Comparison) -> Iterator[Block]:
    rows = _bands(comparison)
    if not rows:
        return
    headings = [f"{width} px" for width in comparison.widths]
    yield Heading("Trimap IoU by half-width of the band")
    yield _score_table(comparison, rows, headings)
    if _compared(comparison):
        yield _difference_table(comparison, rows, headings)
    yield Picture("trimap", "Trimap IoU over the width of the band, and differences")


def _classes(comparison: Comparison) -> Iterator[Block]:
    if len(comparison.columns) < 2:
        return
    yield Heading("By class")
    if comparison.has_intervals and _compared(comparison):
        yield Text(
            f"{_ABOVE} and {_BELOW}: the 95 % interval of the difference from the baseline lies "
            "above or below 0. Among many classes, some will do so by chance."
        )
    for measure in _BY_CLASS:
        if measure not in comparison.measures:
            continue
        row = comparison.measures.index(measure)
        names = [result.method.name for result in comparison.results]
        cells = [
            [name, *(_class_cell(result, row, column) for result in comparison.results)]
            for column, name in enumerate(comparison.columns)
        ]
        yield Table([label(measure), *names], [*cells[1:], cells[0]])


def _class_cell(result: Result, row: int, column: int) -> str:
    deviation = result.deviation
    spread = None if deviation is None else deviation[row, column]
    text = score(result.mean[row, column], spread)
    verdict = result.difference.verdict(row, column) if result.difference else ""
    mark = {"helps": f" {_ABOVE}", "hurts": f" {_BELOW}"}.get(verdict, "")
    return text + mark


def _training(comparison: Comparison) -> Iterator[Block]:
    goals = {result.goal for result in comparison.results if not math.isnan(result.goal)}
    reach = label(comparison.reach)
    shown = f" {goals.pop():.4f}" if len(goals) == 1 else ", the baseline's last,"
    yield Heading("Training")
    rows = [
        [
            result.method.name,
            _share(result.superiority),
            _reached(result),
            _last(result, comparison.reach),
            _costs(result, "seconds"),
            _costs(result, "samples_per_second"),
            _costs(result, "host_bytes"),
            _costs(result, "device_bytes"),
            _costs(result, "parameters"),
        ]
        for result in comparison.results
    ]
    yield Table(
        [
            "method",
            "superiority",
            f"epochs to {reach}{shown}".rstrip(","),
            f"last {reach}",
            "time",
            "samples/s",
            "host memory",
            "device memory",
            "parameters",
        ],
        rows,
    )
    yield Text(
        "Validation figures. Superiority: the share of epochs in which a method has the best "
        "boundary IoU among those with the same seed; ties share. Epochs by seed in ascending "
        "order; – where the score was not reached. Means over runs of time, samples a second "
        "(without validation), peak memory and trained parameters."
    )
    if any(shared_curve(result.runs, "iou") for result in comparison.results):
        yield Picture("curves", "Validation scores over the epochs; bands from minimum to "
                      "maximum")  # fmt: skip


def _share(shares: Sequence[float]) -> str:
    return f"{100 * mean_of(shares):.1f} %" if shares else NONE


def _reached(result: Result) -> str:
    if math.isnan(result.goal):
        return NONE
    return ", ".join(NONE if epoch is None else str(epoch) for epoch in result.reached)


def _last(result: Result, measure: str) -> str:
    curves = [shared_curve([run], measure) for run in result.runs]
    finals = [curve[max(curve)][0] for curve in curves if curve]
    return score(mean_of(finals))


def _costs(result: Result, key: str) -> str:
    values = result.cost(key)
    if not values:
        return NONE
    mean = mean_of(values)
    if key == "seconds":
        return duration(mean)
    if key.endswith("_bytes"):
        return f"{mean / 2**30:.2f} GiB"
    return f"{mean / 1e6:.2f} M" if key == "parameters" else f"{mean:.1f}"


def _runs(comparison: Comparison) -> Iterator[Block]:
    rows = []
    for result in comparison.results:
        for (_, seed), run in result.method.runs.items():
            git = run.fit.get("git") or {}
            commit = str(git.get("commit", ""))[:7] + ("*" if git.get("dirty") else "")
            checkpoint = run.record(comparison.split).get("checkpoint")
            shown = checkpoint if comparison.has_intervals else "last epoch"
            rows.append([
                result.method.name, result.method.network or NONE,
                NONE if seed is None else str(seed), str(len(run.epochs) or NONE),
                str(shown or NONE), commit or NONE, str(run.folder),
            ])  # fmt: skip
    yield Heading("Runs")
    headings = ["method", "network", "seed", "epochs", "measured", "commit", "folder"]
    yield Table(headings, rows, has_numbers=False)
    if any(row[5].endswith("*") for row in rows):
        yield Text("* with uncommitted changes.")


def _how(comparison: Comparison) -> Iterator[Block]:
    if not comparison.has_intervals:
        return
    yield Heading("How the intervals are computed")
    yield Text(
        f"The images are resampled with replacement {comparison.resamples} times, identically for "
        "all runs. Scores are computed from the summed counts of the drawn images, and their "
        "differences averaged over the seeds that both methods share. To this is added the "
        "deviation of the measured differences under resampling of the seeds, widened according to "
        "Student's t distribution for few seeds. The interval is the central 95 % of the sums. "
        "There is no correction for multiple comparisons."
    )
