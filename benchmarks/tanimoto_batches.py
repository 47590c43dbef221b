"""How Tanimoto's class weights vary with the labels of small batches.

    python benchmarks/tanimoto_batches.py RUN [--batches 1 4] [--epochs 8]

The weight of a class is the inverse of its mean volume in the batch, and in a batch without it the
largest weight of the others. So each class that is there counts 1, and a false positive pixel costs
the weight of its class. Printed is the mean of each class's weight in the batches of a run's
training, and in several of them together, over the inverse of its mean volume in all of them; and
the share of batches that lack it.
"""

import argparse
from pathlib import Path

import numpy as np
from lightning.pytorch import seed_everything

from lightning_seg.cli.commands.data import data_of_run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "run", type=Path, help="A folder with config.yaml, such as docs/runs/camvid/tanimoto/seed1."
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    seed_everything(0)
    data = data_of_run(options.run / "config.yaml", ["--data.num_workers", "0"])
    data.setup("fit")
    classes = len(data.class_names)
    each = []
    for _ in range(options.epochs):
        for batch in data.train_dataloader():
            counts = [np.bincount(mask.ravel(), minlength=256) for mask in batch["mask"].numpy()]
            each.append(np.mean(counts, axis=0)[:classes])
    print(f"| images | {' | '.join(data.class_names)} |")
    print(f"|---:|{'---:|' * classes}")
    for joined in options.batches:
        groups = np.array(each[: len(each) // joined * joined]).reshape(-1, joined, classes)
        volume = groups.mean(axis=1)
        absent = volume == 0
        least = np.where(absent, np.inf, volume).min(axis=1, keepdims=True)
        weights = 1 / np.where(absent, least, volume)
        ratios = weights.mean(axis=0) * np.mean(each, axis=0)
        cells = [f"{ratio:.1f}, {lack:.1%}" for ratio, lack in zip(ratios, absent.mean(axis=0))]
        print(f"| {joined * data.batch_size} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
