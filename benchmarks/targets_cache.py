"""What a cache of targets saves: reading a sample, and the share of a training step.

    python benchmarks/targets_cache.py [--tile 3000] [--crop 256] [--repeats 5]

A training sample is a random crop of one tile in Potsdam's layout; the target is the six clipped
signed distances of `SignedDistanceHead`. Without a cache, `none`, the task computes them of the
batch's masks; with one, crops are cut from maps of the whole tile. The three take turns; times are
this process's own on the CPU (no workers), so that other work on the machine matters less.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import rasterio
import torch
from distances import hardware

from lightning_seg.data import ISPRSDataModule
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.samples import collate
from lightning_seg.heads import SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

TILE = "2_10"
KINDS = ("none", "memory", "disk")


def write_tile(root: Path, size: int) -> None:
    """Roofs, trees and cars as rectangles and disks."""
    random = np.random.default_rng(0)
    labels = np.full((size, size), 2, np.uint8)
    for number in range(size * size // 9000):
        kind, (x, y) = int(random.integers(0, 6)), random.integers(0, size, 2).tolist()
        wide, high = random.integers(10, 160, 2).tolist()
        if number % 2:
            cv2.circle(labels, (x, y), wide // 3, kind, -1)
        else:
            cv2.rectangle(labels, (x, y), (x + wide, y + high), kind, -1)
    colors = np.array(list(ISPRS_CLASSES.values()), np.uint8)[labels].transpose(2, 0, 1)
    noise = random.integers(0, 60, colors.shape, np.uint8)
    for folder, name, pixels in (
        ("2_Ortho_RGB", f"top_potsdam_{TILE}_RGB.tif", noise + colors // 2),
        ("5_Labels_all", f"top_potsdam_{TILE}_label.tif", colors),
    ):
        (root / folder).mkdir()
        with rasterio.open(
            root / folder / name, "w", "GTiff", size, size, 3, dtype="uint8", photometric="rgb",
            interleave="pixel",
        ) as file:  # fmt: skip
            file.write(pixels)


def make_data(root: Path, kind: str, task: SegmentationTask, crop: int) -> ISPRSDataModule:
    data = ISPRSDataModule(
        root, train_tiles=[TILE], val_tiles=[], crop_size=crop, num_workers=0, targets_cache=kind
    )
    data.cached_targets = task.mask_targets()
    start = time.process_time()
    data.datasets["train"] = data.dataset("train", data.pairs("train"))
    print(f"{kind}: set up in {time.process_time() - start:.1f} s", flush=True)
    return data


def timed(function, times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - start) / times * 1000


def main(size: int, crop: int, batch: int, repeats: int) -> None:
    torch.manual_seed(0)
    terms = {
        "cross_entropy": WeightedLoss(CrossEntropyLoss()),
        "distance": WeightedLoss(MapL1Loss(), 2.0, "distance"),
    }
    task = SegmentationTask(6, 3, partial(Unet, encoder="resnet18"), SignedDistanceHead, terms)
    with tempfile.TemporaryDirectory() as folder:
        write_tile(Path(folder), size)
        datasets = {
            kind: make_data(Path(folder), kind, task, crop).datasets["train"] for kind in KINDS
        }
        files = list(Path(folder, ".lightning_seg", "targets").glob("*.npy"))
        megabytes = files[0].stat().st_size / 1e6
        print(f"on disk: {megabytes:.1f} MB, {megabytes * (6000 / size) ** 2:.0f} at 6000 x 6000")
        batches = {
            kind: collate([data[i] for i in range(batch)]) for kind, data in datasets.items()
        }
        reading, targets, steps = ({kind: [] for kind in KINDS} for _ in range(3))
        for turn in range(repeats + 1):
            for kind, data in datasets.items():
                read = timed(lambda data=data: data[0], 40)
                computed = timed(lambda kind=kind: task.targets(batches[kind]), 4) / batch
                step = timed(lambda kind=kind: _step(task, batches[kind]), 1) / batch
                if turn:  # the first warms up
                    reading[kind].append(read)
                    targets[kind].append(computed)
                    steps[kind].append(step)
    print("milliseconds a sample; a step is forward, losses and backward")
    print("| cache | reading | targets | both | step | share |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        read, computed, step = (median(times[kind]) for times in (reading, targets, steps))
        both = read + computed
        print(
            f"| {kind} | {read:.2f} | {computed:.2f} | {both:.2f} | {step:.0f} | "
            f"{both / (both + step - computed):.1%} |"
        )


def _step(task: SegmentationTask, batch) -> None:
    task.zero_grad()
    total, _ = task.objective(task(batch["image"]), task.targets(batch), batch["mask"])
    total.backward()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tile", type=int, default=3000)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(hardware())
    main(options.tile, options.crop, options.batch, options.repeats)
