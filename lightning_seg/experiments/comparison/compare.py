"""Comparison of methods: from run folders to scores."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.bootstrap import (
    FEWEST_IMAGES,
    Resampled,
    Scored,
    interval,
    resampled_difference,
)
from lightning_seg.experiments.comparison.convergence import final, first_reached, superiority
from lightning_seg.experiments.comparison.evaluation import read_evaluation
from lightning_seg.experiments.comparison.folds import identities, pool_folds
from lightning_seg.experiments.comparison.methods import (
    Method,
    Training,
    find_baseline,
    peers,
    refuse_incomparable,
    sort_into_methods,
)
from lightning_seg.experiments.comparison.names import some
from lightning_seg.experiments.comparison.runs import SPLITS, VAL, Run, find_all
from lightning_seg.experiments.comparison.scores import Array, measures, nanmean

SUPERIORITY = "boundary_iou"


@dataclass
class Difference:
    """Difference of a method from its baseline; arrays (M, Q'), NaN for missing values.

    Attributes:
        baseline: Name of the baseline.
        trainings: Number of shared trainings; if 0, all trainings of both are used.
        mean: Differences of the means over these trainings.
        low, high: The 95 % interval; NaN without per-image counts, or for few images and a single
            training.
    """

    baseline: str
    trainings: int
    mean: Array
    low: Array
    high: Array

    def verdict(self, measure: int, column: int) -> str:
        """Return ``helps`` or ``hurts`` if the interval excludes 0, else ``not shown``.

        Empty without an interval.
        """
        if math.isnan(self.low[measure, column]):
            return ""
        if self.low[measure, column] > 0:
            return "helps"
        return "hurts" if self.high[measure, column] < 0 else "not shown"


@dataclass
class Result:
    """Results of one method.

    Attributes:
        method: Its runs.
        figures: Scores (S, M, Q') of each training, of all its folds together: the mean over
            classes, then each class.
        difference: Difference from the baseline; None for the baseline.
        superiority: Fraction of epochs in which the method leads, by seed (and fold).
        goal: The target score.
        reached: Epochs until the target was reached, by training; None if never.
    """

    method: Method
    figures: Array
    difference: Difference | None = None
    superiority: list[float] = field(default_factory=list)
    goal: float = math.nan
    reached: list[int | None] = field(default_factory=list)

    @property
    def mean(self) -> Array:
        """Mean (M, Q') over trainings."""
        return nanmean(self.figures, axis=0)

    @property
    def deviation(self) -> Array:
        """Standard deviation (M, Q') over trainings, NaN for a single one."""
        several = len(self.figures) > 1
        return np.std(self.figures, axis=0, ddof=1) if several else self.figures[0] * math.nan

    @property
    def runs(self) -> list[Run]:
        """Runs of the method, ordered by image set and seed."""
        return list(self.method.runs.values())

    def cost(self, key: str) -> list[float]:
        """Return a cost of each run that recorded it."""
        values = (_COSTS[key](run) for run in self.runs)
        return [value for value in values if value is not None]


@dataclass
class Comparison:
    """Results of several methods.

    Attributes:
        split: The evaluated split, ``test`` or ``val``.
        images: Number of images; 0 without per-image counts.
        few_images: True if a set of images is too small to resample; intervals then cover seeds
            alone.
        measures: M names.
        columns: Q' names: ``mean``, then classes and merged classes.
        results: One per method: the baseline, then the others from the best mean boundary IoU.
        resamples: Number of bootstrap resamples.
        reach: The measure with a target score.
        notes: Caveats for the reader.
    """

    split: str
    images: int
    few_images: bool
    measures: tuple[str, ...]
    columns: tuple[str, ...]
    results: list[Result]
    resamples: int
    reach: str
    notes: list[str]

    @property
    def by_image(self) -> bool:
        """True if per-image counts are available."""
        return self.images > 0

    @property
    def has_intervals(self) -> bool:
        """True if there are intervals, or would be with another method."""
        if not self.few_images:
            return self.by_image
        return any(not np.isnan(r.difference.low).all() for r in self.results if r.difference)

    @property
    def folds(self) -> int:
        """Number of folds whose images are pooled for each seed; 1 without folds."""
        method = self.results[0].method
        return len(method.runs) // len(method.trainings)

    @property
    def widths(self) -> list[int]:
        """Trimap widths in pixels."""
        return [int(m.split("/")[1]) for m in self.measures if m.startswith("trimap_iou/")]


def compare(
    arguments: Iterable[str | Path],
    baseline: str | None = None,
    split: str | None = None,
    reach: tuple[str, float] | None = None,
    resamples: int = 2000,
) -> Comparison:
    """Compare the runs in folders.

    Args:
        arguments: Run folders, folders with runs at any depth, or ``NAME=FOLDER[,FOLDER...]``.
        baseline: The baseline method; by default cross entropy if there is one, else the first.
        split: ``test`` or ``val``; by default the one on which more runs were evaluated, ``test``
            if it is the same number. The other runs are left out, with a note. If no run was
            evaluated, the scores of the last validated epoch are compared.
        reach: Measure and target score to report the epoch of; by default the final boundary IoU
            of the baseline.
        resamples: Bootstrap resamples for an interval.

    Raises:
        InputError: If no run has scores, there is no such baseline, the runs are not comparable, or
            files cannot be read.
    """
    found, notes = find_all(arguments)
    runs = _unique(found)
    if resamples < 100:
        raise InputError(f"--resamples is {resamples}; an interval needs 100 or more.")
    split, by_image, runs, left_out = _with_scores(runs, split)
    notes += left_out
    evaluations = [read_evaluation(run, split) if by_image else None for run in runs]
    methods, split_notes = sort_into_methods(runs, evaluations)
    notes += split_notes
    for method in methods:
        _order(method)
    if by_image:
        refuse_incomparable(methods)
        methods, fold_notes = pool_folds(methods)
        notes += fold_notes
        scale = next(iter(methods[0].evaluations.values())).scale
        names, columns = scale.measures, scale.columns
        results = [Result(m, _stack(m)) for m in methods]
    else:
        names, columns, results = _last_epochs(methods)
    by_name = {result.method.name: result for result in results}
    chosen: list[tuple[list[Result], Result | None]] = []
    for group in peers(methods):
        base = find_baseline(group, baseline)
        results_of = [by_name[method.name] for method in group]
        chosen.append((results_of, None if base is None else by_name[base.name]))
    if all(base is None for _, base in chosen):
        methods_are = f"there are {', '.join(map(repr, by_name))}."
        raise InputError(" ".join([f"There is no method {baseline!r}; {methods_are}", *notes]))
    by = names.index("boundary_iou") if "boundary_iou" in names else 0
    results = [
        result
        for every, base in chosen
        for result in sorted(every, key=lambda r: (r is not base, -np.nan_to_num(r.mean[by, 0])))
    ]
    sets = {e.truth: e for m in methods for e in m.evaluations.values()}.values()
    images = len({image for one in sets for image in identities(one)})
    fewest = min((len(one.images) for one in sets), default=0)
    few = by_image and fewest < FEWEST_IMAGES
    _compare_with_baselines(chosen, resamples if by_image else 0, not few)
    measure = _converge(chosen, reach)
    notes += _notes(results, chosen, split, fewest)
    return Comparison(split, images, few, names, columns, results, resamples, measure, notes)


def _unique(runs: Sequence[Run]) -> list[Run]:
    by_folder: dict[Path, Run] = {}
    for run in runs:
        known = by_folder.setdefault(run.folder.resolve(), run)
        if known.given_name != run.given_name:
            raise InputError(
                f"{run.folder} was given twice, as {known.given_name or 'itself'} and as "
                f"{run.given_name or 'itself'}; give it once."
            )
    if not by_folder:
        raise InputError("No runs were given; give run folders, or a folder that contains runs.")
    return list(by_folder.values())


def _with_scores(runs: Sequence[Run], wanted: str | None) -> tuple[str, bool, list[Run], list[str]]:
    """Return the split, whether there are per-image counts, the runs with scores, and notes."""
    if wanted not in (None, *SPLITS):
        raise InputError(f"--split is {wanted!r}; it is test or val.")
    counts = {
        split: [run for run in runs if run.is_evaluated(split)]
        for split in ([wanted] if wanted else SPLITS)
    }
    split = max(counts, key=lambda one: len(counts[one]))
    kept, lacking = counts[split], f"{split} counts"
    by_image = bool(kept)
    if not kept and wanted != "test":
        split, lacking = "val", "val counts and no validated epoch"
        kept = [run for run in runs if run.validated]
    others = [run for run in runs if run not in kept]
    ended = [run.folder for run in others if run.fit.get("finished") is not False]
    training = [
        f"{run.folder} ({len(run.epochs)} epoch{'s' * (len(run.epochs) != 1)})"
        for run in others
        if run.folder not in ended
    ]
    notes = []
    if training:
        notes.append(f"Left out, as their training has not ended: {some(training)}.")
    if ended:
        notes.append(
            f"Left out, as they have no {lacking}: {some(ended)}; run lightning-seg "
            f"{'test' if split == 'test' else 'validate'} with their checkpoints."
        )
    if not kept:
        raise InputError(" ".join(["No run is left to compare.", *notes]))
    return split, by_image, kept, notes


def _stack(method: Method) -> Array:
    return np.stack([evaluation.figures for evaluation in method.evaluations.values()])


def _order(method: Method) -> None:
    """Sort the trainings by fold and seed."""
    ranks = {key: n for n, key in enumerate(dict.fromkeys(images for images, _ in method.runs))}

    def rank(training: Training) -> tuple[int, int]:
        return ranks[training[0]], -1 if training[1] is None else training[1]

    order = sorted(method.runs, key=rank)
    method.runs = {key: method.runs[key] for key in order}
    method.evaluations = {k: method.evaluations[k] for k in order if k in method.evaluations}


def _last_epochs(
    methods: Sequence[Method],
) -> tuple[tuple[str, ...], tuple[str, ...], list[Result]]:
    """Return the scores of the last validated epochs, for runs without per-image counts."""
    runs = [run for method in methods for run in method.runs.values()]
    keys = {key for run in runs for key in run.validated[-1]}
    start = f"{VAL}trimap_iou/"
    widths = sorted(int(key.removeprefix(start)) for key in keys if key.startswith(start))
    names = tuple(name for name in measures(tuple(widths)) if f"{VAL}{name}" in keys)
    if not names:
        raise InputError(
            f"{runs[0].folder} has none of the scores that are compared, as it was trained without "
            "boundary_metrics; run lightning-seg validate with its checkpoint."
        )
    classes = list(runs[0].last_per_class)
    if any(list(run.last_per_class) != classes for run in runs):
        classes = []
    results = []
    for method in methods:
        figures = [_last_figures(run, names, classes) for run in method.runs.values()]
        results.append(Result(method, np.array(figures)))
    return names, ("mean", *classes), results


def _last_figures(run: Run, names: Sequence[str], classes: Sequence[str]) -> list[list[float]]:
    last, by_class = run.validated[-1], run.last_per_class

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    return [
        [number(last.get(f"{VAL}{n}")), *(number(by_class[c].get(n)) for c in classes)]
        for n in names
    ]


def _compare_with_baselines(
    chosen: Sequence[tuple[list[Result], Result | None]], resamples: int, draw_images: bool
) -> None:
    every = [r for results, _ in chosen for r in results]
    sets = dict.fromkeys(e.truth for r in every for e in r.method.evaluations.values())
    drawn = Resampled(resamples, list(sets), draw_images) if resamples else None
    for results, base in chosen:
        if base is None:
            continue
        redrawn = _redraw(base, drawn)
        for result in results:
            if result is not base:
                result.difference = _difference(result, base, drawn, redrawn)


def _redraw(result: Result, drawn: Resampled | None) -> dict[Training, Scored]:
    found = result.method.evaluations
    return {key: drawn.scores(one) for key, one in found.items()} if drawn else {}


def _difference(
    result: Result, base: Result, drawn: Resampled | None, base_redrawn: Mapping[Training, Scored]
) -> Difference:
    shared = [key for key in base.method.trainings if key in result.method.trainings]
    mine, theirs = (shared or one.method.trainings for one in (result, base))
    mean = _mean_over(result, mine) - _mean_over(base, theirs)
    low = high = mean * math.nan
    if drawn is not None and (drawn.draw_images or min(len(mine), len(theirs)) > 1):
        own = {key: drawn.scores(result.method.evaluations[key]) for key in mine}
        base_own = {key: base_redrawn[key] for key in theirs}
        low, high = interval(resampled_difference(own, base_own, bool(shared)))
    return Difference(base.method.name, len(shared), mean, low, high)


def _mean_over(result: Result, trainings: Sequence[Training]) -> Array:
    order = result.method.trainings
    return nanmean(result.figures[[order.index(key) for key in trainings]], axis=0)


def _converge(
    chosen: Sequence[tuple[list[Result], Result | None]], reach: tuple[str, float] | None
) -> str:
    measure = reach[0] if reach else SUPERIORITY
    every = [run for results, _ in chosen for result in results for run in result.runs]
    known = dict.fromkeys(
        key.removeprefix(VAL) for run in every for e in run.validated for key in e if VAL in key
    )
    if reach and measure not in known:
        raise InputError(
            f"--reach {measure}: no run has it in its epochs; they have {', '.join(known)}."
        )
    for results, base in chosen:
        goal = reach[1] if reach else _final_score(base or results[0], measure)
        for result in results:
            result.goal = goal
            result.reached = [
                None if math.isnan(goal) else first_reached(run, measure, goal)
                for run in result.runs
            ]
        shared = [k for k in results[0].method.runs if all(k in r.method.runs for r in results)]
        for training in shared if len(results) > 1 else ():
            shares = superiority({r.method.name: r.method.runs[training] for r in results})
            for result in results if shares else ():
                result.superiority.append(shares[result.method.name])
    return measure


def _final_score(result: Result, measure: str) -> float:
    return float(nanmean(np.array([final(run, measure) for run in result.runs]), axis=0))


def _notes(
    results: Sequence[Result],
    chosen: Sequence[tuple[list[Result], Result | None]],
    split: str,
    fewest: int,
) -> list[str]:
    """Return notes; ``fewest`` is the number of images in the smallest set, 0 without counts."""
    notes = []
    single = any(len(result.figures) == 1 for result in results)
    if not fewest:
        notes.append(
            "No run has per-image counts, so the last validated epochs are compared, "
            "without intervals. It is not recorded whether all runs used the same images and "
            "evaluation settings."
        )
    elif fewest < FEWEST_IMAGES:
        few = f"{fewest} images" if fewest > 1 else "One image"
        differences = [result.difference for result in results if result.difference]
        if all(np.isnan(difference.low).all() for difference in differences):
            notes.append(f"{few} and a single shared seed are too few for intervals.")
        else:
            notes.append(
                f"{few} {'are' if fewest > 1 else 'is'} too few to resample, so intervals cover "
                "the seeds alone: a verdict holds for these images and may not hold for others."
            )
            notes += ["A method with a single seed has no interval."] if single else []
    elif single:
        notes.append(
            "For methods with a single run, intervals cover the choice of images but not of seeds: "
            "another seed may reverse a verdict."
        )
    for results_of, base in chosen:
        others = [r for r in results_of if base and _has_other_seeds(r, base)]
        notes += _seeds_notes(others, base) if base else []
    runs = [run for result in results for run in result.runs]
    for subject, values in (
        ("Evaluated checkpoints differ", [run.record(split).get("checkpoint") for run in runs]),
        ("Times do not compare, as training devices differ", [_hardware(run) for run in runs]),
    ):
        kinds = sorted({str(value) for value in values if value})
        if len(kinds) > 1:
            notes.append(f"{subject}: {'; '.join(kinds)}.")
    if outdated := [run.folder for run in runs if run.is_outdated(split)]:
        notes.append(
            "Evaluate again, as the checkpoint was replaced after its evaluation: "
            f"{some(outdated)}."
        )
    for results_of, base in chosen:
        if base is None:
            names = ", ".join(result.method.name for result in results_of)
            notes.append(f"There is no baseline for {names}.")
    return notes


def _has_other_seeds(result: Result, base: Result) -> bool:
    return set(result.method.trainings) != set(base.method.trainings)


def _seeds_notes(results: Sequence[Result], base: Result) -> Iterator[str]:
    by_count: dict[int, list[str]] = {}
    for result in results:
        count = result.difference.trainings if result.difference else 0
        by_count.setdefault(count, []).append(result.method.name)
    for count, names in sorted(by_count.items()):
        seeds = "seed" if count == 1 else "seeds"
        how = f"from {count} shared {seeds}" if count else "unpaired, as none is shared"
        yield (
            f"{', '.join(names)}: not the same seeds as {base.method.name}; the difference is "
            f"computed {how}."
        )


def _hardware(run: Run) -> str | None:
    if not run.fit:
        return None
    device = str(run.fit.get("device"))
    if device == "cpu":
        device = " ".join(filter(None, ["CPU", run.fit.get("cpu")]))
    elif gpus := run.fit.get("gpus"):
        device = ", ".join(sorted(set(gpus)))
    return f"{run.fit.get('processes')} x {device}"


def _seconds(run: Run) -> float | None:
    found = run.fit.get("seconds")
    return found or sum(epoch.get("seconds", 0) for epoch in run.epochs) or None


def _peak(key: str) -> Callable[[Run], float | None]:
    return lambda run: (run.fit.get("peak_memory") or {}).get(key)


_COSTS: dict[str, Callable[[Run], float | None]] = {
    "seconds": _seconds,
    "samples_per_second": lambda run: run.fit.get("samples_per_second"),
    "host_bytes": _peak("host_bytes"),
    "device_bytes": _peak("device_bytes"),
    "parameters": lambda run: (run.fit.get("parameters") or {}).get("trained"),
}
COSTS = tuple(_COSTS)
