"""Convergence of runs: share of epochs in the lead, and epochs to reach a score."""

import math
from collections.abc import Mapping, Sequence

from lightning_seg.experiments.comparison.runs import VAL, Run
from lightning_seg.score_names import mode_of


def curve(run: Run, measure: str) -> dict[int, float]:
    """Return a validation score by number of trained epochs, without missing values."""
    key = f"{VAL}{measure}"
    return {e["epoch"] + 1: e[key] for e in run.validated if e.get(key) is not None}


def final(run: Run, measure: str) -> float:
    """Return a validation score of the last validated epoch, NaN if there is none."""
    values = curve(run, measure)
    return values[max(values)] if values else math.nan


def first_reached(run: Run, measure: str, score: float) -> int | None:
    """Return the trained epochs until a score first reaches ``score``; None if never.

    A measure of which small values are good, such as ``loss``, reaches it from above.
    """
    sign = 1 if mode_of(measure) == "max" else -1
    values = sorted(curve(run, measure).items())
    return next((epoch for epoch, value in values if sign * value >= sign * score), None)


def superiority(runs: Mapping[str, Run], measure: str = "boundary_iou") -> dict[str, float]:
    """Return the fraction of epochs in which each run is best; ties share an epoch (Gül, 2023).

    Only epochs validated by all runs count. A run with a missing value is not the best in that
    epoch.

    Args:
        runs: Runs of one seed, by name.
        measure: The validation score.

    Returns:
        Fractions that sum to 1; empty if no epoch was validated by all runs.
    """
    curves = {name: curve(run, measure) for name, run in runs.items()}
    validated = [{e["epoch"] + 1 for e in run.validated} for run in runs.values()]
    epochs = sorted(set.intersection(*validated)) if validated else []
    shares = dict.fromkeys(runs, 0.0)
    counted = 0
    for epoch in epochs:
        values = {name: one[epoch] for name, one in curves.items() if epoch in one}
        if not values:
            continue
        counted += 1
        best = max(values.values())
        leaders = [name for name, value in values.items() if value == best]
        for name in leaders:
            shares[name] += 1 / len(leaders)
    return {name: share / counted for name, share in shares.items()} if counted else {}


def shared_curve(runs: Sequence[Run], measure: str) -> dict[int, list[float]]:
    """Return a validation score of every run by epoch, for the epochs that all runs have."""
    curves = [curve(run, measure) for run in runs]
    epochs = set.intersection(*(set(one) for one in curves)) if curves else set()
    return {epoch: [one[epoch] for one in curves] for epoch in sorted(epochs)}
