"""Grouping of runs into methods: runs that differ only in seed (and fold) are one method."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.evaluation import (
    Evaluation,
    differences,
    other_images,
)
from lightning_seg.experiments.comparison.labels import (
    Settings,
    distinctions,
    method_label,
    network_label,
    seed,
    settings,
    split_settings,
)
from lightning_seg.experiments.comparison.runs import Run

# Key of a training within a method: its images (those of a fold), or else the settings that choose
# them, and its seed.
Training = tuple[str, int | None]

_CROSS_ENTROPY = ("cross_entropy", "cross entropy", "ce")


@dataclass
class Method:
    """Runs of one method.

    Attributes:
        name: Unique among the compared methods.
        label: The method's label, which several networks may share.
        network: The network's label.
        runs: By training.
        evaluations: By training; empty without per-image counts. After `pool_folds`, one for the
            images of all folds of a seed.
    """

    name: str
    label: str
    network: str
    runs: dict[Training, Run] = field(default_factory=dict)
    evaluations: dict[Training, Evaluation] = field(default_factory=dict)

    @property
    def trainings(self) -> list[Training]:
        """Keys of what has its own scores: each evaluation, or else each run."""
        return list(self.evaluations or self.runs)


def sort_into_methods(
    runs: Sequence[Run], evaluations: Sequence[Evaluation | None]
) -> tuple[list[Method], list[str]]:
    """Group runs into methods, in the order of their first runs; return them and notes.

    Args:
        runs: All runs.
        evaluations: Their evaluations, or None for each.
    """
    methods: dict[str, Method] = {}
    groups: dict[str, list[tuple[Run, Evaluation | None]]] = {}
    for run, evaluation in zip(runs, evaluations, strict=True):
        key = f"name {run.given_name}" if run.given_name else json.dumps(settings(run))
        if key not in methods:
            label = run.given_name or method_label(run)
            methods[key] = Method(label, label, network_label(run))
        groups.setdefault(key, []).append((run, evaluation))
    differing = _differing_splits(groups.values())
    for key, group in groups.items():
        for run, evaluation in group:
            _add(methods[key], run, evaluation, bool(differing))
    grouped = list(methods.values())
    _make_unique(grouped)
    notes = [
        "Runs with the same seed were evaluated on the same images, like folds with one test set: "
        f"they differ in {', '.join(differing)}. Each run counts by itself."
    ]
    return grouped, notes if differing else []


def _differing_splits(groups: Iterable[list[tuple[Run, Evaluation | None]]]) -> list[str]:
    """Return the split settings that differ between runs of a method with equal images and seed."""
    found: set[str] = set()
    for group in groups:
        alike: dict[Training, list[Settings]] = {}
        for run, evaluation in group:
            if evaluation:
                alike.setdefault((evaluation.truth, seed(run)), []).append(split_settings(run))
        for several in alike.values():
            found |= {k for one in several for k in one if any(one[k] != o.get(k) for o in several)}
    return sorted(found)


def _add(method: Method, run: Run, evaluation: Evaluation | None, by_splits: bool) -> None:
    parts = [evaluation.truth] if evaluation else []
    if by_splits or not evaluation:
        parts.append(json.dumps(split_settings(run), sort_keys=True))
    training = (" ".join(parts), seed(run))
    if training in method.runs:
        raise InputError(
            f"{method.runs[training].folder} and {run.folder} are runs of the same method, "
            f"{method.name}, with the same seed, {training[1]}; leave one out, or give them names: "
            "NAME=RUN OTHER=RUN."
        )
    method.runs[training] = run
    if evaluation:
        method.evaluations[training] = evaluation


def _make_unique(methods: list[Method]) -> None:
    """Add the network to names if there are several, and settings if labels coincide."""
    unnamed = [m for m in methods if not next(iter(m.runs.values())).given_name]
    if len({method.network for method in unnamed}) > 1:
        for method in unnamed:
            method.name = f"{method.label}, {method.network}"
    ordered = sorted(unnamed, key=lambda method: method.name)
    for name, same in groupby(ordered, key=lambda method: method.name):
        several = list(same)
        if len(several) > 1:
            texts = distinctions([settings(next(iter(m.runs.values()))) for m in several])
            for method, text in zip(several, texts, strict=True):
                method.name = f"{name} ({text})"
                method.label = f"{method.label} ({text})"
    names = [method.name for method in methods]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"Two methods are called {repeated[0]!r}; give them names: NAME=RUN.")


def peers(methods: Sequence[Method]) -> list[list[Method]]:
    """Return the groups of methods to compare: those with the same network.

    If names were given, all methods form one group.
    """
    if any(run.given_name for method in methods for run in method.runs.values()):
        return [list(methods)]
    networks = dict.fromkeys(method.network for method in methods)
    return [[m for m in methods if m.network == network] for network in networks]


def find_baseline(methods: Sequence[Method], name: str | None) -> Method | None:
    """Return the method of that name; by default cross entropy, or else the first.

    Of a sweep over several axes, one choice is a name, too: the first method that has it is meant.
    Return None if there is no method of that name.
    """
    if name is not None:
        wanted = name.replace("=", " ")  # as in names from a sweep
        exact = [m for m in methods if {name, wanted} & {m.name, m.label}]
        return next(iter(exact + [m for m in methods if wanted in m.label.split(", ")]), None)
    for method in methods:
        if any(part.lower() in _CROSS_ENTROPY for part in method.label.split(" (")[0].split(", ")):
            return method
    return methods[0]


def refuse_incomparable(methods: Sequence[Method]) -> None:
    """Raise if evaluations differ from the first in images or settings.

    A set of images that the first method lacks is a fold that it has not finished, if it has no
    image in common with another set, and its method has another set in common with the first.
    """
    of_each = [list(method.evaluations.values()) for method in methods]
    first, known = of_each[0][0], {one.truth for one in of_each[0]}
    names = {one.truth: set(one.images) for of in of_each for one in of}

    def is_fold(truth: str) -> bool:
        return all(names[truth].isdisjoint(names[other]) for other in names if other != truth)

    problems = []
    for of in of_each:
        has_known = any(one.truth in known for one in of)
        for one in of:
            differing = differences(first, one)
            if one.truth not in known and not (has_known and is_fold(one.truth)):
                like = max(of_each[0], key=lambda known: len(names[known.truth] & names[one.truth]))
                differing.append(other_images(like, one))
            if differing:
                problems.append(f"{one.run.folder}: {', '.join(differing)}")
    if problems:
        raise InputError(
            f"Not all runs were evaluated like {first.run.folder}, so they cannot be compared. "
            + ". ".join(problems)
            + "."
        )
