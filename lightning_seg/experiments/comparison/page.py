"""Page of a comparison in Markdown."""

import math
from collections.abc import Iterator, Sequence

from lightning_seg.experiments.comparison.compare import COSTS, Comparison, Result
from lightning_seg.experiments.comparison.convergence import final
from lightning_seg.experiments.comparison.errors import mean_counts, shown_width
from lightning_seg.experiments.comparison.figures import OVER_SETTING
from lightning_seg.experiments.comparison.names import NONE, label, labels, mean_of, score, signed
from lightning_seg.experiments.sweep.running import duration
from lightning_seg.metrics.functional.boundary_errors import CAUSES

_SPLITS = {"test": "test", "val": "validation"}
_BY_CLASS = ("iou", "boundary_iou", "boundary_f")
_PICTURES = ("differences", "trimap", "curves", *(f"setting_{name}" for name in OVER_SETTING))
_ABOVE, _BELOW = "▲", "▼"


def page(comparison: Comparison, pictures: Sequence[str] = ()) -> str:
    """Return the page as GitHub Markdown, from the verdicts to the runs.

    Args:
        comparison: The comparison.
        pictures: Names of the available pictures, PNG files beside the page.
    """
    blocks = [f"# {_title(comparison)}", _about(comparison)]
    if comparison.notes:
        blocks.append(_items(comparison.notes))
    for part in (
        _verdicts,
        _scores,
        _differences,
        _trimaps,
        _errors,
        _classes,
        _training,
        _runs,
        _how,
    ):
        blocks += part(comparison)
    absent = tuple(f"({name}.png)" for name in _PICTURES if name not in pictures)
    return "\n\n".join(block for block in blocks if not block.endswith(absent)) + "\n"


def _items(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], alignment: str = "---:") -> str:
    lines = [headings, ["---", *[alignment] * (len(headings) - 1)], *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _picture(name: str, about: str) -> str:
    return f"![{about}]({name}.png)"


def _title(comparison: Comparison) -> str:
    names = [result.method.name for result in comparison.results]
    split = _SPLITS[comparison.split]
    shown = ", ".join(names) if len(names) <= 4 else f"{len(names)} methods"
    return f"{shown}: {split} figures"


def _about(comparison: Comparison) -> str:
    split = _SPLITS[comparison.split]
    counts = sorted({len(result.figures) for result in comparison.results})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    runs = _runs_or_seeds(comparison)
    several = runs if counts[-1] > 1 else runs.removesuffix("s")
    where = (
        f"{comparison.images} {split} images"
        if comparison.by_image
        else f"the {split} scores of the last validated epoch"
    )
    pooled = f" of {comparison.folds} folds, pooled" if comparison.folds > 1 else ""
    spread = f" Means over {runs} ± their standard deviation." if counts[-1] > 1 else ""
    return f"{where[0].upper()}{where[1:]}{pooled}, {number} {several} per method.{spread}"


def _runs_or_seeds(comparison: Comparison) -> str:
    """Return what has scores of its own: each seed if its folds are pooled, else each run."""
    return "seeds" if comparison.folds > 1 else "runs"


def _compared(comparison: Comparison) -> list[Result]:
    return [result for result in comparison.results if result.difference is not None]


def _verdicts(comparison: Comparison) -> Iterator[str]:
    if not comparison.has_intervals or not _compared(comparison):
        return
    yield "## Verdicts"
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
                     f"{'; '.join(parts) or 'no interval'}.")  # fmt: skip
    yield _items(lines)


def _rows(comparison: Comparison, trimaps: bool) -> list[int]:
    measures = enumerate(comparison.measures)
    return [i for i, m in measures if m.startswith("trimap_iou/") == trimaps]


def _score_table(comparison: Comparison, rows: Sequence[int], headings: Sequence[str]) -> str:
    cells = []
    for result in comparison.results:
        mean, deviation = result.mean, result.deviation
        scores = (score(mean[row, 0], deviation[row, 0]) for row in rows)
        cells.append([result.method.name, str(len(result.figures)), *scores])
    return _table(["method", _runs_or_seeds(comparison), *headings], cells)


def _scores(comparison: Comparison) -> Iterator[str]:
    rows = _rows(comparison, trimaps=False)
    yield "## Scores"
    yield _score_table(comparison, rows, [label(comparison.measures[row]) for row in rows])
    yield "Means over the classes with a value that are not excluded from means."


def _difference_table(comparison: Comparison, rows: Sequence[int], headings: Sequence[str]) -> str:
    cells = []
    for result in _compared(comparison):
        cells.append([result.method.name, *(_difference(result, row) for row in rows)])
    return _table(["method", *headings], cells)


def _difference(result: Result, row: int, column: int = 0) -> str:
    difference = result.difference
    assert difference is not None
    text = signed(difference.mean[row, column])
    verdict = difference.verdict(row, column)
    if not verdict:
        return text
    low, high = (signed(bound[row, column]) for bound in (difference.low, difference.high))
    return f"{text} [{low}, {high}] {verdict}"


def _differences(comparison: Comparison) -> Iterator[str]:
    if not _compared(comparison):
        return
    rows = _rows(comparison, trimaps=False)
    yield "## Differences"
    yield _difference_table(comparison, rows, [label(comparison.measures[row]) for row in rows])
    yield _baselines(comparison)
    yield _picture("differences", "Differences of the mean scores and their 95 % intervals")
    for measure in OVER_SETTING:
        yield _picture(f"setting_{measure}", f"{label(measure)} over the setting that was swept")


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


def _trimaps(comparison: Comparison) -> Iterator[str]:
    rows = _rows(comparison, trimaps=True)
    if not rows:
        return
    headings = [f"{width} px" for width in comparison.widths]
    yield "## Trimap IoU by half-width of the band"
    yield _score_table(comparison, rows, headings)
    if _compared(comparison):
        yield _difference_table(comparison, rows, headings)
    yield _picture("trimap", "Trimap IoU over the width of the band, and differences")


def _errors(comparison: Comparison) -> Iterator[str]:
    runs = [list(result.method.runs.values()) for result in comparison.results]
    width = shown_width((run for each in runs for run in each), comparison.split)
    if width is None:
        return
    folds = comparison.folds
    counts = [
        {cause: folds * mean for cause, mean in mean_counts(each, comparison.split, width).items()}
        for each in runs
    ]
    causes = [cause for cause in CAUSES if any(each[cause] for each in counts)]
    yield "## Wrong pixels near boundaries by cause"
    yield _table(
        ["method", "all", *(cause.replace("_", " ") for cause in causes)],
        [
            [
                result.method.name,
                *(f"{n / 1000:,.1f}" for n in (sum(each.values()), *(each[c] for c in causes))),
            ]
            for result, each in zip(comparison.results, counts, strict=True)
        ],
    )
    yield (
        f"Thousands of wrong pixels within {width} px of a true boundary, means over "
        f"{_runs_or_seeds(comparison)}. "
        "`BoundaryErrors` defines the causes."
    )


def _classes(comparison: Comparison) -> Iterator[str]:
    if len(comparison.columns) < 2:
        return
    yield "## By class"
    if comparison.has_intervals and _compared(comparison):
        yield (
            f"{_ABOVE} and {_BELOW}: the 95 % interval of the difference from the baseline lies "
            "above or below 0. Among many classes, some will do so by chance."
        )
    columns = [*range(1, len(comparison.columns)), 0]  # the mean comes last
    for measure in _BY_CLASS:
        if measure not in comparison.measures:
            continue
        row = comparison.measures.index(measure)
        table = [[label(measure), *(comparison.columns[column] for column in columns)]]
        for result in comparison.results:
            cells = (_class_cell(result, row, column) for column in columns)
            table.append([result.method.name, *cells])
        if len(table) <= len(table[0]):  # the longer side goes down the page
            table = [list(cells) for cells in zip(*table, strict=True)]
        yield _table(table[0], table[1:])


def _class_cell(result: Result, row: int, column: int) -> str:
    text = score(result.mean[row, column], result.deviation[row, column])
    verdict = result.difference.verdict(row, column) if result.difference else ""
    mark = {"helps": f" {_ABOVE}", "hurts": f" {_BELOW}"}.get(verdict, "")
    return text + mark


def _training(comparison: Comparison) -> Iterator[str]:
    goals = {result.goal for result in comparison.results if not math.isnan(result.goal)}
    reach = label(comparison.reach)
    shown = f" {goals.pop():.4f}" if len(goals) == 1 else ", the baseline's last,"
    yield "## Training"
    headings = [
        "method", "superiority", f"epochs to {reach}{shown}".rstrip(","), f"last {reach}",
        "time", "samples/s", "host memory", "device memory", "parameters",
    ]  # fmt: skip
    rows = [
        [
            result.method.name,
            _share(result.superiority),
            _reached(result),
            _last(result, comparison.reach),
            *(_costs(result, key) for key in COSTS),
        ]
        for result in comparison.results
    ]
    yield _table(headings, rows)
    each = "fold and seed" if comparison.folds > 1 else "seed"
    yield (
        "Validation figures. Superiority: the share of epochs in which a method has the best "
        f"boundary IoU among those with the same {each}; ties share. Epochs by {each} in ascending "
        "order; – where the score was not reached. Means over runs of time, samples a second "
        "(without validation), peak memory and trained parameters."
    )
    yield _picture("curves", "Validation scores over the epochs; bands from minimum to maximum")


def _share(shares: Sequence[float]) -> str:
    return f"{100 * mean_of(shares):.1f} %" if shares else NONE


def _reached(result: Result) -> str:
    if math.isnan(result.goal):
        return NONE
    return ", ".join(NONE if epoch is None else str(epoch) for epoch in result.reached)


def _last(result: Result, measure: str) -> str:
    finals = [value for run in result.runs if not math.isnan(value := final(run, measure))]
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


def _runs(comparison: Comparison) -> Iterator[str]:
    rows = []
    for result in comparison.results:
        for (_, seed), run in result.method.runs.items():
            git = run.fit.get("git") or {}
            commit = str(git.get("commit", ""))[:7] + ("*" if git.get("dirty") else "")
            checkpoint = run.record(comparison.split).get("checkpoint")
            shown = checkpoint if comparison.by_image else "last epoch"
            rows.append([
                result.method.name, result.method.network or NONE,
                NONE if seed is None else str(seed), str(len(run.epochs) or NONE),
                str(shown or NONE), commit or NONE, str(run.folder),
            ])  # fmt: skip
    yield "## Runs"
    headings = ["method", "network", "seed", "epochs", "measured", "commit", "folder"]
    yield _table(headings, rows, "---")
    if any(row[5].endswith("*") for row in rows):
        yield "Commits marked with * have uncommitted changes."


def _how(comparison: Comparison) -> Iterator[str]:
    if not comparison.has_intervals:
        return
    yield "## How the intervals are computed"
    if comparison.few_images:
        yield (
            "The differences are averaged over the seeds that both methods share, and resampled "
            f"{comparison.resamples} times by drawing seeds with replacement, widened according to "
            "Student's t distribution for few seeds. The interval is the central 95 % of the "
            "results. The images are not resampled. There is no correction for multiple "
            "comparisons."
        )
        return
    yield (
        f"The images are resampled with replacement {comparison.resamples} times, identically for "
        "all runs. Scores are computed from the summed counts of the drawn images, and their "
        "differences averaged over the seeds that both methods share. To this is added the "
        "deviation of the measured differences under resampling of the seeds, widened according to "
        "Student's t distribution for few seeds. The interval is the central 95 % of the sums. "
        "There is no correction for multiple comparisons."
    )
