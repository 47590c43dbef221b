"""Trains with each method for a few epochs on the demo's scenes, and pictures how that goes.

    python benchmarks/loss_curves.py [--methods cross_entropy dice ...] [--epochs 5]
        [--runs runs/loss_curves] [--picture docs/images/loss_curves.png] [options of fit ...]

Every method is a run of configs/experiment/synthetic/unet.yaml with that method's file laid over
it; finished runs are not repeated. Above are the unweighted terms of the objective at every step
(pale) and their moving average; below is the boundary IoU on unseen scenes after every epoch, that
of plain cross entropy in grey.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import yaml
from matplotlib.axes import Axes
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_seg import cli

CONFIGS = Path(__file__).parent.parent / "configs"
SCENES = CONFIGS / "experiment" / "synthetic" / "unet.yaml"
REFERENCE = "cross_entropy"
COLUMNS = 4
Curve = tuple[np.ndarray, np.ndarray]


def methods() -> list[str]:
    """All methods, cross entropy first."""
    names = [path.stem for path in (CONFIGS / "method").glob("*.yaml")]
    return sorted(names, key=lambda name: (name != REFERENCE, name))


def train(method: str, run: Path, epochs: int, options: list[str]) -> bool:
    """Train the run of a method unless it exists; return False if training failed."""
    if (run / "checkpoints" / "last.ckpt").is_file():
        return True
    print(f"{method} ...", flush=True)
    sys.argv[1:] = [
        *("fit", "--config", str(SCENES), "--config", str(CONFIGS / "method" / f"{method}.yaml")),
        *("--run_dir", str(run), "--trainer.max_epochs", str(epochs)),
        *("--trainer.check_val_every_n_epoch", "1", "--trainer.log_every_n_steps", "1"),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
        *("--panels", "null", *options),
    ]
    try:
        cli.main()
    except SystemExit as stop:  # its message is on the screen
        return stop.code in (0, None)
    return True


def loss_terms(run: Path) -> dict[str, Curve]:
    """Steps and values of every term of the objective by its name."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    config = yaml.safe_load((run / "config.yaml").read_text())
    terms = list(config["model"]["init_args"]["losses"])
    curves = {}
    for term in terms:
        points = events.Scalars("train/loss" if len(terms) == 1 else f"train/{term}")
        steps, values = [p.step for p in points], [p.value for p in points]
        curves[term.replace("_", " ")] = np.array(steps), np.array(values)
    return curves


def boundary_iou(run: Path) -> Curve:
    """Steps and values of the validations."""
    lines = (run / "epochs.jsonl").read_text().splitlines()
    epochs = [epoch for epoch in map(json.loads, lines) if "val/boundary_iou" in epoch]
    steps = [epoch["step"] for epoch in epochs]
    return np.array(steps), np.array([epoch["val/boundary_iou"] for epoch in epochs], float)


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """The mean over the values around each one, of fewer at the ends."""
    ones = np.ones(width)
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")


def draw_terms(axes: Axes, run: Path) -> None:
    curves = loss_terms(run)
    for number, (name, (steps, values)) in enumerate(curves.items()):
        width = max(1, len(values) // 16) | 1
        axes.plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        axes.plot(steps, smoothed(values, width), color=f"C{number}", label=name)
    axes.legend(
        fontsize="small", frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1)
    )
    axes.tick_params(labelbottom=False)


def draw_boundary_iou(axes: Axes, run: Path, reference: Path | None) -> None:
    if reference is not None:
        axes.plot(*boundary_iou(reference), color="0.7", marker=".")
    axes.plot(*boundary_iou(run), color="black", marker=".")
    axes.grid(axis="y", color="0.9")


def draw(runs: dict[str, Path], epochs: int, picture: Path) -> None:
    """A block of two axes for each method, all with the same axis of steps and of boundary IoU."""
    columns = min(COLUMNS, len(runs))
    blocks = math.ceil(len(runs) / columns)
    figure = plt.figure(figsize=(3.4 * columns, 3.8 * blocks), layout="constrained")
    grid = figure.subfigures(blocks, columns, squeeze=False)
    highest = max(np.nanmax(boundary_iou(run)[1], initial=0) for run in runs.values())
    for number, (method, run) in enumerate(runs.items()):
        part = grid[number // columns][number % columns]
        above, below = part.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        part.suptitle(method.replace("_", " "), fontweight="bold")
        draw_terms(above, run)
        draw_boundary_iou(below, run, runs.get(REFERENCE) if method != REFERENCE else None)
        below.set_ylim(0, 1.1 * highest or 1)
        below.set_xlabel(f"optimiser step ({epochs} epochs)")
        if number % columns == 0:
            above.set_ylabel("training loss, terms")
            below.set_ylabel("boundary IoU")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=90)
    Image.open(picture).convert("RGB").quantize().save(picture, optimize=True)  # half the size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", help="names in configs/method; default: all")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/loss_curves"))
    parser.add_argument("--picture", type=Path, default=Path("docs/images/loss_curves.png"))
    options, fit_options = parser.parse_known_args()
    runs = {
        method: options.runs / method
        for method in options.methods or methods()
        if train(method, options.runs / method, options.epochs, fit_options)
    }
    if not runs:
        sys.exit("There is no run to picture.")
    draw(runs, options.epochs, options.picture)
    print(f"{options.picture}: {', '.join(runs)}")


if __name__ == "__main__":
    main()
