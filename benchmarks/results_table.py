"""Prints a Markdown table of the last validated epoch of runs, seeds of a method averaged.

python benchmarks/results_table.py baseline=runs/camvid/unet_baseline_seed1,runs/... distance=...
"""

import json
import statistics
import sys
from pathlib import Path

MEASURES = {
    "val/iou": "mIoU",
    "val/f1": "mF1",
    "val/boundary_iou": "boundary IoU (2 %)",
    "val/boundary_f": "boundary F (0.8 %)",
    "val/trimap_iou/1": "trimap IoU 1 px",
    "val/trimap_iou/3": "3 px",
    "val/trimap_iou/10": "10 px",
}


def last_validated(run: Path) -> dict:
    """The figures of the run's last epoch that has validation figures."""
    lines = (run / "epochs.jsonl").read_text().splitlines()
    return [epoch for epoch in map(json.loads, lines) if "val/iou" in epoch][-1]


def cell(values: list[float]) -> str:
    """The mean, and half the range of the seeds."""
    spread = f" ± {(max(values) - min(values)) / 2:.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def main() -> None:
    print("| method | seeds | epochs |", " | ".join(MEASURES.values()), "|")
    print("|---" * (3 + len(MEASURES)) + "|")
    for argument in sys.argv[1:]:
        name, runs = argument.split("=")
        last = [last_validated(Path(run)) for run in runs.split(",")]
        epochs = "/".join(sorted({str(epoch["epoch"] + 1) for epoch in last}))
        cells = [cell([epoch[measure] for epoch in last]) for measure in MEASURES]
        print(f"| {name} | {len(last)} | {epochs} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
