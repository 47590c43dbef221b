"""Trains, validates and predicts in turn in one process, and watches what that process holds.

    python tests/faults/soak.py [--minutes 60] [--plot docs/images/soak.png]

Each round trains a new run for an epoch with a data worker, validates it and predicts rasters, as a
notebook may do all day. After each round the resident memory, the open files and the threads of the
process are read. Nothing may grow: the median of the last third of the rounds must be that of the
middle third, within 2 % for memory and exactly for files and threads.
"""

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median
from typing import NamedTuple

import kills

MEMORY_TOLERANCE = 0.02


class Held(NamedTuple):
    """What the process holds after a round; memory in MB."""

    minutes: float
    memory: float
    files: int
    threads: int


def held(begun: float) -> Held:
    gc.collect()  # trainers and their callbacks refer to each other
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Held(
        (time.monotonic() - begun) / 60,
        int(status["VmRSS"].split()[0]) / 1024,
        len(os.listdir("/proc/self/fd")),
        int(status["Threads"]),
    )


def round_of_commands() -> None:
    """Train, validate and predict; runs of earlier rounds are removed."""
    from lightning_seg.cli import main

    shutil.rmtree("run", ignore_errors=True)
    fit = ("fit", "--config", "config.yaml", "--run_dir", "run")
    followed = ("--config", "run/config.yaml", "--ckpt_path", "last", "--run_dir", "run")
    commands = [
        (*fit, "--trainer.max_epochs", "1", "--data.num_workers", "1"),
        ("validate", *followed),
        ("predict", *followed),
    ]
    for command in commands:
        sys.argv = ["lightning-seg", *command]
        main()


def grown(rounds: list[Held]) -> list[str]:
    """Return what grew, in words."""
    third = len(rounds) // 3
    middle, last = rounds[third : 2 * third], rounds[2 * third :]
    told = []
    for name, tolerance in (("memory", MEMORY_TOLERANCE), ("files", 0.0), ("threads", 0.0)):
        before, after = (median(getattr(r, name) for r in part) for part in (middle, last))
        if after > before * (1 + tolerance):
            told.append(f"{name} grew from {before:g} to {after:g}")
    return told


def plot(rounds: list[Held], path: Path) -> None:
    """Plot all three over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(7, 5), sharex=True, layout="constrained")
    labels = {"memory": "resident memory in MB", "files": "open files", "threads": "threads"}
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        axis.plot([r.minutes for r in rounds], [getattr(r, name) for r in rounds], lw=1)
        axis.set_ylim(0, None)
        axis.set_title(label, fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("minutes of training, validation and prediction in turn")
    figure.savefig(path, dpi=120)


def main() -> int:
    """Print the figures; return 1 if anything grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    picture = arguments.plot and arguments.plot.absolute()
    begun = time.monotonic()
    rounds: list[Held] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        kills.prepare(Path(folder))
        with open("log", "w") as log, redirect_stdout(log), redirect_stderr(log):
            while time.monotonic() < begun + 60 * arguments.minutes or len(rounds) < 9:
                round_of_commands()
                rounds.append(held(begun))
        os.chdir("/")
    if picture:
        plot(rounds, picture)
    print("| after round | minutes | memory in MB | open files | threads |\n|---|---|---|---|---|")
    for number in sorted({1, *(len(rounds) * part // 6 for part in range(1, 7))} - {0}):
        minutes, memory, files, threads = rounds[number - 1]
        print(f"| {number} | {minutes:.1f} | {memory:.0f} | {files} | {threads} |")
    told = grown(rounds)
    print("; ".join(told) or "Nothing grew.")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
