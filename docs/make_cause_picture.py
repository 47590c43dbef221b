"""Draw docs/images/causes.png: what goes wrong near boundaries with each method on CamVid.

    python docs/make_cause_picture.py

The figures are in docs/runs/camvid_causes/METHOD/boundary_errors.csv, a file that
`lightning-seg validate` writes.
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

from lightning_seg.metrics.functional.boundary_errors import CAUSES

DOCS = Path(__file__).parent
WIDTH = "5"  # pixels


def pixels_by_cause(path: Path) -> dict[str, int]:
    """Return the wrong pixels of each cause, each counted once, by its true class."""
    with path.open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["width"] == WIDTH and r["as"] == "truth"]
    return {cause: sum(int(row[cause]) for row in rows) for cause in CAUSES}


def main() -> None:
    """Draw a bar for each method, best first."""
    runs = sorted((DOCS / "runs" / "camvid_causes").iterdir())
    counts = {run.name: pixels_by_cause(run / "boundary_errors.csv") for run in runs}
    methods = sorted(counts, key=lambda name: -sum(counts[name].values()))
    figure, axes = pyplot.subplots(figsize=(9, 5.2), layout="constrained")
    left = dict.fromkeys(methods, 0.0)
    for cause, color in zip(CAUSES, pyplot.colormaps["tab10"].colors, strict=False):
        lengths = {name: counts[name][cause] / 1000 for name in methods}
        axes.barh(
            [name.replace("_", " ") for name in methods],
            [lengths[name] for name in methods],
            left=[left[name] for name in methods],
            color=color,
            label=cause.replace("_", " "),
        )
        left = {name: left[name] + lengths[name] for name in methods}
    axes.set_xlabel(f"thousands of wrong pixels within {WIDTH} px of a true boundary")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(DOCS / "images" / "causes.png", dpi=110)


if __name__ == "__main__":
    main()
