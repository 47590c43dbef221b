"""Print what the demo's method gained over cross entropy on the same scenes, over several seeds.

    python docs/demo_gain.py

The figures come from the records of `configs/sweep/demo.yaml` in docs/runs/demo.
"""

import os
from pathlib import Path

from lightning_seg.experiments.comparison import compare

RECORDS = "docs/runs/demo"
MEASURES = {"trimap_iou/3": "IoU within 3 px of edges", "boundary_iou": "boundary IoU"}


def main() -> None:
    """Print the means over the seeds, their difference with its 95 % interval, and the verdict."""
    os.chdir(Path(__file__).parents[1])  # messages name the folders of runs
    comparison = compare([RECORDS])
    baseline, result = comparison.results
    print("The distance-transform loss instead of cross entropy on these scenes, means over")
    print(f"{len(result.runs)} seeds with 95 % intervals over the seeds ({RECORDS}):")
    for measure, name in MEASURES.items():
        row = comparison.measures.index(measure)
        ours, theirs, gain, low, high = (
            values[row, 0]
            for values in (
                result.mean,
                baseline.mean,
                result.difference.mean,
                result.difference.low,
                result.difference.high,
            )
        )
        print(
            f"  {name:28}  {theirs:.3f} -> {ours:.3f} {gain:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"{result.difference.verdict(row, 0)}"
        )


if __name__ == "__main__":
    main()
