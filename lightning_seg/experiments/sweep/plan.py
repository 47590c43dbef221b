"""Runs of a sweep, and the command line of each step."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep.spec import Arguments, Before, Choice, SweepSpec


@dataclass(frozen=True)
class Step:
    """One command of a run: its stage (fit, validate or test) and its arguments.

    ``arguments`` exclude the run's folder and options for resuming, so equal arguments mean equal
    work.
    """

    stage: str
    arguments: Arguments


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Args:
        name: Folder relative to that of the sweep; unique.
        labels: Name of the choice on each axis, and the seed.
        steps: Steps in order.
        needs: Names of the runs it depends on, by their placeholder in arguments.
    """

    name: str
    labels: Mapping[str, str]
    steps: tuple[Step, ...]
    needs: Mapping[str, str]

    def command(self, step: Step, sweep_dir: Path, resume: bool = False) -> list[str]:
        """Return the arguments of ``lightning-seg`` for one step in this run's folder."""
        run_dir = str(sweep_dir / self.name)
        words = list(step.arguments)
        for called, needed in self.needs.items():
            words = [w.replace(f"{{{called}}}", str(sweep_dir / needed)) for w in words]
        if step.stage == "fit":
            last = ["--ckpt_path", "last"] if resume else []
            return ["fit", *words, "--run_dir", run_dir, *last]
        return [step.stage, "--config", f"{run_dir}/config.yaml", "--run_dir", run_dir, *words]


def launcher(devices_per_run: int = 1) -> list[str]:
    """Return the command that starts ``lightning-seg`` in this Python, with torchrun if needed."""
    module = ["-m", "lightning_seg.cli"]
    if devices_per_run == 1:
        return [sys.executable, *module]
    each = ["--standalone", f"--nproc-per-node={devices_per_run}"]
    return [sys.executable, "-m", "torch.distributed.run", *each, *module]


def plan(spec: SweepSpec) -> list[Run]:
    """Return all runs: dependencies first, then seed by seed and fold by fold.

    One run of every choice thus finishes before the second of any starts.

    Raises:
        InputError: If no run depends on a run in ``before``.
    """
    before = spec.before or {}
    runs = [_before_run(spec, name, labels) for name in before for labels in _each(spec, name)]
    runs += [_run(spec, labels) for labels in _labels(spec, list(spec.axes), spec.seeds)]
    read = {called for run in runs for called in run.needs}
    if unread := [name for name in before if name not in read]:
        raise InputError(
            f"before.{unread[0]} is used by no run. Write {{{unread[0]}}} in the arguments of "
            "runs that use it; it is replaced by the path of its folder."
        )
    return runs


def _each(spec: SweepSpec, name: str) -> Iterator[dict[str, str]]:
    per = (spec.before or {})[name].per
    seeds = spec.seeds if "seed" in per else spec.seeds[:1]
    return _labels(spec, [axis for axis in spec.axes if axis in per], seeds)


def _labels(spec: SweepSpec, axes: list[str], seeds: tuple[int, ...]) -> Iterator[dict[str, str]]:
    inner = [axis for axis in axes if axis != "fold"]
    folds = list(spec.axes["fold"]) if "fold" in axes else [None]
    for seed, fold in product(seeds, folds):
        for names in product(*(spec.axes[axis] for axis in inner)):
            labels = dict(zip(inner, names, strict=True))
            if fold is not None:
                labels["fold"] = fold
            yield labels | {"seed": str(seed)}


def _choices(spec: SweepSpec, labels: Mapping[str, str]) -> list[Choice]:
    return [spec.axes[axis][name] for axis, name in labels.items() if axis != "seed"]


def _run(spec: SweepSpec, labels: Mapping[str, str]) -> Run:
    choices = _choices(spec, labels)
    return _assembled(
        spec,
        _path(labels),
        labels,
        (*spec.fit_args, *(word for one in choices for word in one.fit_args), *spec.final_args),
        spec.evaluate,
        (*spec.evaluate_args, *(word for one in choices for word in one.evaluate_args)),
        spec.before or {},
    )


def _before_run(spec: SweepSpec, name: str, labels: Mapping[str, str]) -> Run:
    before = spec.before or {}
    own = before[name]
    kept = {axis: label for axis, label in labels.items() if axis != "seed" or "seed" in own.per}
    choices = _choices(spec, kept)
    return _assembled(
        spec,
        _before_path(name, kept),
        labels,
        (*own.fit_args, *(word for one in choices for word in one.fit_args)),
        own.evaluate,
        own.evaluate_args,
        dict(list(before.items())[: list(before).index(name)]),
    )


def _path(labels: Mapping[str, str]) -> str:
    return "/".join(f"seed{n}" if axis == "seed" else n for axis, n in labels.items())


def _assembled(
    spec: SweepSpec,
    name: str,
    labels: Mapping[str, str],
    fit: Arguments,
    stages: tuple[str, ...],
    evaluation: Arguments,
    readable: Mapping[str, Before],
) -> Run:
    devices = (f"--trainer.devices={spec.devices_per_run}",) if spec.devices_per_run > 1 else ()
    seed = ("--seed_everything", labels["seed"])
    steps = [Step("fit", (*fit, *devices, *seed))]
    steps += [Step(stage, ("--ckpt_path", spec.ckpt_path, *evaluation)) for stage in stages]
    text = " ".join((*fit, *evaluation))
    needs = {
        called: _needed(name, labels, called, other.per)
        for called, other in readable.items()
        if f"{{{called}}}" in text
    }
    return Run(name, labels, tuple(steps), needs)


def _needed(name: str, labels: Mapping[str, str], called: str, per: tuple[str, ...]) -> str:
    if lacking := [axis for axis in per if axis not in labels]:
        raise InputError(
            f"{name} uses before.{called}, which has one run per {lacking[0]}, but has no "
            f"{lacking[0]} itself. Add {lacking[0]} to its own per."
        )
    shared = {axis: label for axis, label in labels.items() if axis in per}
    return _before_path(called, shared)


def _before_path(called: str, labels: Mapping[str, str]) -> str:
    return "/".join(filter(None, ("before", called, _path(labels))))


def written(words: list[str]) -> str:
    """Return a command as typed in a shell."""
    return shlex.join(["lightning-seg", *words])
