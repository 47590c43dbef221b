"""``lightning-seg sweep``: run and compare combinations of seeds, folds and options."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml

from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep.plan import Run, launcher, plan
from lightning_seg.experiments.sweep.running import Stopped, counted, last_words, run_all
from lightning_seg.experiments.sweep.scripts import bash_script, slurm_script, torchrun_script
from lightning_seg.experiments.sweep.spec import (
    STAGES,
    SweepSpec,
    grid_values,
    read_spec,
    split_words,
)
from lightning_seg.experiments.sweep.state import sweep_lock

FORMS = ("bash", "torchrun", "slurm")
_THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip


def run(argv: list[str]) -> None:
    """Run ``lightning-seg sweep`` with these arguments."""
    own, options = _split(argv)
    arguments = _parser().parse_args(own)
    spec = read_spec(_content(arguments, options))
    runs = plan(spec)
    named = _named(runs, arguments.only) if arguments.only else runs
    chosen = _with_dependencies(runs, named)
    if arguments.print:
        print(_printed(arguments, spec, chosen, argv), end="")
        return
    jobs = arguments.jobs
    if arguments.only and jobs is not None:
        jobs = min(jobs, len(named))  # in an array job, other runs are other tasks
    per_job = environments(jobs, arguments.threads, arguments.devices or [], spec.devices_per_run)
    launch = launcher(spec.devices_per_run)
    try:
        # Single runs can run next to others; each has its own lock.
        with nullcontext() if arguments.only else sweep_lock(spec.sweep_dir):
            failed = run_all(chosen, spec.sweep_dir, per_job, launch, _say)
    except Stopped as stopped:
        _say(f"Stopped by {stopped}. Run the same command to continue.")
        sys.exit(128 + stopped.signal_number)
    for name, why in failed.items():
        print(f"{name}: {why}")
    if failed:
        print(f"{len(failed)} of {counted(len(chosen))} failed. Run the same command to retry.")
    compared = arguments.only or not spec.compare or _compare(spec, runs, failed)
    if failed or not compared:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg sweep",
        usage="lightning-seg sweep [SPEC.yaml] [--config FILE ...] [OPTION ...] [-- FIT OPTIONS]",
        description="Train and evaluate every combination of overlays, options, folds and seeds, "
        "each in a run folder of its own, and compare them. After an interruption, the same "
        "command continues. SPEC.yaml offers the same settings and more, see docs/sweeps.md; "
        "options given here override it. Options after -- override all others in every fit.",
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what is run")
    what.add_argument("spec", nargs="?", help="A YAML file with the sweep's settings.")
    what.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="A fit's configuration."
    )
    what.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME=FILE[,FILE]",
        help="A named overlay on the configuration; repeat for each overlay to compare.",
    )
    what.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="OPTION=VALUE,VALUE",
        help="An option of fit and its values, combined with every overlay.",
    )
    what.add_argument("--seeds", type=int, nargs="+", help="Default: 1.")
    what.add_argument(
        "--folds",
        nargs="+",
        metavar="FILE",
        help="A configuration for each fold, or the number of folds (FolderDataModule).",
    )
    what.add_argument(
        "--evaluate",
        nargs="+",
        choices=(*STAGES, "none"),
        help="Evaluation after each fit. Default: validate.",
    )
    what.add_argument("--ckpt_path", help="The checkpoint to evaluate. Default: best.")
    what.add_argument("--sweep_dir", help="The folder of all runs.")
    what.add_argument(
        "--only",
        action="append",
        metavar="RUN",
        help="Run only this run or all runs in this folder, with those they depend on; no "
        "comparison.",
    )
    how = parser.add_argument_group("how it is run")
    how.add_argument("--jobs", type=int, help="Parallel runs. Default: as many as --devices.")
    how.add_argument(
        "--threads",
        type=int,
        help="CPU threads per run. Default: the libraries' default for one run at a time, "
        "otherwise an equal share of the processors.",
    )
    how.add_argument(
        "--devices",
        nargs="+",
        metavar="GPU",
        help="GPUs (CUDA_VISIBLE_DEVICES), divided among the parallel runs.",
    )
    how.add_argument(
        "--devices_per_run", type=int, help="Processes per run, each with a GPU. Default: 1."
    )
    how.add_argument(
        "--print",
        nargs="?",
        const="bash",
        choices=FORMS,
        help="Only print the commands: as a bash script, for torchrun, or as a SLURM array job.",
    )
    how.add_argument("--no-compare", action="store_true", help="Skip the comparison.")
    return parser


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments into those of the sweep and, after ``--``, those of its fits."""
    where = argv.index("--") if "--" in argv else len(argv)
    return list(argv[:where]), list(argv[where + 1 :])


def _content(arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    """Return the sweep's settings: those of the file, overridden by the command line."""
    content = _read(arguments.spec) if arguments.spec else {}
    configs = [word for path in arguments.config for word in ("--config", path)]
    for key, more in (("fit_args", configs), ("final_args", options)):
        content[key] = [*split_words(content.get(key), key), *more]
    if arguments.overlay:
        content["axes"] = {**(content.get("axes") or {}), "overlay": _overlays(arguments.overlay)}
    if arguments.grid:
        content["grid"] = {**(content.get("grid") or {}), **_grids(arguments.grid)}
    for key in ("seeds", "folds", "evaluate", "ckpt_path", "sweep_dir", "devices_per_run"):
        if (value := getattr(arguments, key)) is not None:
            content[key] = value
    if arguments.folds and len(arguments.folds) == 1 and arguments.folds[0].isdecimal():
        content["folds"] = int(arguments.folds[0])
    if arguments.no_compare:
        content["compare"] = False
    return content


def _read(path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({reason}). Give a sweep's YAML file.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a sweep. See docs/sweeps.md for its keys.")
    return content


def _overlays(given: Sequence[str]) -> dict[str, list[str]]:
    overlays: dict[str, list[str]] = {}
    for text in given:
        name, equals, files = text.partition("=")
        if not equals or not files:
            raise InputError(f"--overlay {text}: write NAME=FILE.yaml")
        if name in overlays:
            raise InputError(f"--overlay {text}: {name} is already defined")
        overlays[name] = [word for file in files.split(",") for word in ("--config", file)]
    return overlays


def _grids(given: Sequence[str]) -> dict[str, list[Any]]:
    grids: dict[str, list[Any]] = {}
    for text in given:
        key, equals, values = text.removeprefix("--").partition("=")
        if not equals or not values:
            raise InputError(f"--grid {text}: write OPTION=VALUE,VALUE")
        grids[key] = grid_values(values)
    return grids


def _named(runs: list[Run], only: Sequence[str]) -> list[Run]:
    """Return the runs that have one of these names, or lie in a folder of that name."""
    for name in only:
        if not any(_is_in(run, name) for run in runs):
            names = ", ".join(run.name for run in runs)
            raise InputError(f"--only {name}: there is no such run; runs are {names}")
    return [run for run in runs if any(_is_in(run, name) for name in only)]


def _is_in(run: Run, folder: str) -> bool:
    return f"{run.name}/".startswith(f"{folder.rstrip('/')}/")


def _with_dependencies(runs: list[Run], named: list[Run]) -> list[Run]:
    """Return the named runs and those they depend on, in the order of all runs."""
    wanted = {run.name for run in named}
    for one in reversed(runs):  # dependencies come first
        if one.name in wanted:
            wanted |= set(one.needs.values())
    return [one for one in runs if one.name in wanted]


def environments(
    jobs: int | None, threads: int | None, devices: Sequence[str], devices_per_run: int
) -> list[dict[str, str]]:
    """Return the environment variables for devices and threads of each parallel run."""
    if len(devices) % devices_per_run:
        raise InputError(
            f"--devices: {len(devices)} devices cannot be divided into {devices_per_run} per run"
        )
    shares = [
        ",".join(devices[first : first + devices_per_run])
        for first in range(0, len(devices), devices_per_run)
    ]
    jobs = max(1, len(shares)) if jobs is None else jobs
    for option, number in (("--jobs", jobs), ("--threads", threads)):
        if number is not None and number < 1:
            raise InputError(f"{option} is {number}, but must be 1 or more")
    if threads is None and jobs > 1:
        threads = max(1, _processors() // (jobs * devices_per_run))
    base: dict[str, str] = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    return [
        base | ({"CUDA_VISIBLE_DEVICES": shares[job % len(shares)]} if shares else {})
        for job in range(jobs)
    ]


def _processors() -> int:
    """Return the number of CPUs available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _printed(
    arguments: argparse.Namespace, spec: SweepSpec, runs: list[Run], argv: list[str]
) -> str:
    if arguments.print == "bash":
        return bash_script(runs, spec.sweep_dir)
    if arguments.print == "torchrun":
        return torchrun_script(runs, spec.sweep_dir, spec.devices_per_run)
    # Of the whole folder, so that runs that fail are left out.
    compared = spec.compare and not arguments.only
    compare = _compare_words(spec, [str(spec.sweep_dir)]) if compared else None
    at_a_time = arguments.jobs or len(runs)
    words = _words_of_a_task(argv)
    return slurm_script(runs, spec.sweep_dir, words, at_a_time, spec.devices_per_run, compare)


def _words_of_a_task(argv: Sequence[str]) -> list[str]:
    """Return the command line without --print and --only; a task has its own --only."""
    own, options = _split(argv)
    rest: list[str] = []
    while own:
        word, *own = own
        if word == "--only" or (word == "--print" and own and own[0] in FORMS):
            own = own[1:]
        elif word.partition("=")[0] not in ("--only", "--print"):
            rest.append(word)
    return [*rest, "--", *options] if options else rest


def _compare_words(spec: SweepSpec, runs: Sequence[str]) -> list[str]:
    return ["compare", *runs, "--output", str(spec.sweep_dir / "comparison"), *spec.compare_args]


def _finished(spec: SweepSpec, runs: Sequence[Run], failed: dict[str, str]) -> list[str]:
    """Return the arguments that name all finished runs, except dependencies.

    Methods are named by the axes with several choices, so all folds and seeds of a choice are one
    method.
    """
    telling = [axis for axis, choices in spec.axes.items() if len(choices) > 1 and axis != "fold"]
    methods: dict[str, list[str]] = {}
    for one in runs:
        if one.name not in failed and not one.name.startswith("before/"):
            # The name ends at the first =.
            name = ", ".join(one.labels[axis] for axis in telling).replace("=", " ")
            methods.setdefault(name, []).append(str(spec.sweep_dir / one.name))
    return [
        word
        for name, folders in methods.items()
        for word in ([f"{name}={','.join(folders)}"] if name else folders)
    ]


def _compare(spec: SweepSpec, runs: Sequence[Run], failed: dict[str, str]) -> bool:
    """Compare the finished runs; return whether the comparison succeeded."""
    finished = _finished(spec, runs, failed)
    if not finished:
        return True  # which was already reported
    words = _compare_words(spec, finished)
    log = spec.sweep_dir / "compare.log"
    with log.open("wb") as file:
        ended = subprocess.run([*launcher(), *words], stdout=file, stderr=subprocess.STDOUT)
    if ended.returncode == 0:
        _say(f"Comparison: {spec.sweep_dir / 'comparison'}")
        return True
    print(f"compare ended with status {ended.returncode}: {last_words(log)} ({log})")
    return False


def _say(line: str) -> None:
    print(line, flush=True)
