"""Runs sorted into methods: what is the same but for its seed (and fold) is one method."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.evaluation import Evaluation, differences
from lightning_seg.experiments.comparison.labels import (
    distinctions,
    method_label,
    network_label,
    seed,
    settings,
    split_settings,
)
from lightning_seg.experiments.comparison.runs import Run

# What tells the trainings of a method apart: the images (a fold's), and the seed.
Training = tuple[str, int | None]

_CROSS_ENTROPY = ("cross_entropy", "cross entropy", "ce")


@dataclass
class Method:
    """One method's runs.

    Attributes:
        name: Unique among the methods compared.
        label: The method's, which several networks may share.
        network: The network's label.
        runs: By training.
        evaluations: By training; empty where figures of single images are not there.
    """

    name: str
    label: str
    network: str
    runs: dict[Training, Run] = field(default_factory=dict)
    evaluations: dict[Training, Evaluation] = field(default_factory=dict)


def sort_into_methods(
    runs: Sequence[Run], evaluations: Sequence[Evaluation | None]
) -> list[Method]:
    """The methods, in the order in which their first runs were given.

    Args:
        runs: All runs.
        evaluations: Theirs, or None for each.

    Raises:
        InputError: Two runs of a method have the same seed.
    """
    methods: dict[str, Method] = {}
    for run, evaluation in zip(runs, evaluations, strict=True):
        key = f"name {run.given_name}" if run.given_name else json.dumps(settings(run))
        if key not in methods:
            label = run.given_name or method_label(run)
            methods[key] = Method(label, label, network_label(run))
        _add(methods[key], run, evaluation)
    found = list(methods.values())
    _tell_apart(found)
    return found


def _add(method: Method, run: Run, evaluation: Evaluation | None) -> None:
    images = evaluation.truth if evaluation else json.dumps(split_settings(run), sort_keys=True)
    training = (images, seed(run))
    if training in method.runs:
        raise InputError(
            f"{method.runs[training].folder} and {run.folder} are runs of one method, "
            f"{method.name}, with one seed, {training[1]}; leave one out, or name them apart: "
            "NAME=RUN OTHER=RUN."
        )
    method.runs[training] = run
    if evaluation:
        method.evaluations[training] = evaluation


def _tell_apart(methods: list[Method]) -> None:
    """Names the network where there are several, and the settings where labels are the same."""
    unnamed = [m for m in methods if not next(iter(m.runs.values())).given_name]
    if len({method.network for method in unnamed}) > 1:
        for method in unnamed:
            method.name = f"{method.label}, {method.network}"
    ordered = sorted(unnamed, key=lambda method: method.name)
    for name, same in groupby(ordered, key=lambda method: method.name):
        several = list(same)
        if len(several) > 1:
            told = distinctions([settings(next(iter(m.runs.values()))) for m in several])
            for method, text in zip(several, told, strict=True):
                method.name = f"{name} ({text})"
                method.label = f"{method.label} ({text})"
    names = [method.name for method in methods]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"Two methods are called {twice[0]!r}; name them apart: NAME=RUN.")


def peers(methods: Sequence[Method]) -> list[list[Method]]:
    """The methods that are compared with each other: those of one network.

    Where names were given, it is all of them.
    """
    if any(run.given_name for method in methods for run in method.runs.values()):
        return [list(methods)]
    networks = dict.fromkeys(method.network for method in methods)
    return [[m for m in methods if m.network == network] for network in networks]


def find_baseline(methods: Sequence[Method], name: str | None) -> Method | None:
    """The one of that name; by default the one called cross entropy, else the first.

    None where there is none of that name.
    """
    if name is not None:
        return next((m for m in methods if name in (m.name, m.label)), None)
    for method in methods:
        if method.label.split(" (")[0].lower() in _CROSS_ENTROPY:
            return method
    return methods[0]


def refuse_incomparable(methods: Sequence[Method]) -> None:
    """Says which evaluations are of other images or other settings than the first, and in what.

    Raises:
        InputError: There are such.
    """
    [reference, *_] = methods
    by_images = {one.truth: one for one in reference.evaluations.values()}
    first = next(iter(reference.evaluations.values()))
    told = []
    for method in methods:
        for evaluation in method.evaluations.values():
            found = differences(first, evaluation, compare_images=False)
            if evaluation.truth not in by_images:
                found += differences(first, evaluation)[len(found) :]
            if found:
                told.append(f"{evaluation.run.folder}: {', '.join(found)}")
        lacking = set(by_images) - {one.truth for one in method.evaluations.values()}
        if lacking and len(method.evaluations) and not told:
            missed = next(one for truth, one in by_images.items() if truth in lacking)
            told.append(f"{method.name} has no run on the images of {missed.run.folder}")
    if told:
        raise InputError(
            f"Not all runs were evaluated as {first.run.folder}, so they cannot be compared. "
            + ". ".join(told)
            + "."
        )
