"""How runs got to their scores: who leads in how many epochs, and when a score is reached."""

import math
from collections.abc import Mapping, Sequence

from lightning_seg.experiments.comparison.runs import VAL, Run


def curve(run: Run, measure: str) -> dict[int, float]:
    """A validation figure by number of epochs trained; epochs in which it was no number are out."""
    key = f"{VAL}{measure}"
    return {e["epoch"] + 1: e[key] for e in run.validated if e.get(key) is not None}


def final(run: Run, measure: str) -> float:
    """A validation figure of the last validated epoch, NaN where there is none."""
    values = curve(run, measure)
    return values[max(values)] if values else math.nan


def first_reached(run: Run, measure: str, score: float) -> int | None:
    """Epochs trained until a validation figure was first at least ``score``; None if never."""
    return next((epoch for epoch, v in sorted(curve(run, measure).items()) if v >= score), None)


def superiority(runs: Mapping[str, Run], measure: str = "boundary_iou") -> dict[str, float]:
    """The share of epochs in which each run is the best; ties share an epoch (Gül, 2023).

    Counted are the epochs that all runs validated. A run without a number in one of them is not
    the best there.

    Args:
        runs: Runs of one seed, by name.
        measure: The validation figure.

    Returns:
        Shares that add up to 1; empty where no epoch was validated by all runs.
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
    """A validation figure of every run, by epoch; of the epochs for which all runs have one."""
    curves = [curve(run, measure) for run in runs]
    epochs = set.intersection(*(set(one) for one in curves)) if curves else set()
    return {epoch: [one[epoch] for one in curves] for epoch in sorted(epochs)}
