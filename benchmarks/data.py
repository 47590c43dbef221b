"""Training samples a second from large tiles, against torchgeo's Potsdam data module.

    python benchmarks/data.py [--size 6000] [--compression none lzw deflate]

Writes tiles in Potsdam's layout (infrared and colours, and labels in its colours; stored by strips,
as the official ones), and draws batches of crops from both modules with equally many workers, in
turns. torchgeo's module reads whole tiles and cuts a crop of each in the main process, which is
counted as in its training; ours reads the crops' windows. Times are of the clock, for workers are
other processes; both take the same cores.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from distances import hardware
from rasterio.windows import Window
from torchgeo.datamodules import Potsdam2DDataModule

from lightning_seg.data import ISPRSDataModule
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES

TILES = ("2_10", "2_11", "3_10", "3_11")
_ROWS = 200


def write_tiles(root: Path, size: int, compression: str) -> None:
    """Noise over patches as images; labels of the same patches."""
    random = np.random.default_rng(0)
    colors = np.array(list(ISPRS_CLASSES.values()), np.uint8)
    for folder in ("4_Ortho_RGBIR", "5_Labels_all"):
        (root / folder).mkdir(parents=True)
    for tile in TILES:
        patches = random.integers(0, 6, (-(-size // 50), -(-size // 50)))
        image = root / "4_Ortho_RGBIR" / f"top_potsdam_{tile}_RGBIR.tif"
        label = root / "5_Labels_all" / f"top_potsdam_{tile}_label.tif"
        how = {"driver": "GTiff", "height": size, "width": size, "dtype": "uint8"}
        how |= {"interleave": "pixel", "compress": compression, "photometric": "rgb"}
        with (
            rasterio.open(image, "w", count=4, **how) as pixels,
            rasterio.open(label, "w", count=3, **how) as classes,
        ):
            for row in range(0, size, _ROWS):
                rows = min(_ROWS, size - row)
                at = np.arange(row, row + rows)[:, None] // 50, np.arange(size)[None] // 50
                numbers = patches[at]
                noise = random.integers(0, 60, (4, rows, size), np.uint8)
                area = Window(0, row, size, rows)
                pixels.write(noise + (numbers * 30).astype(np.uint8), window=area)
                classes.write(colors[numbers].transpose(2, 0, 1), window=area)
        # torchgeo looks for labels beside the images' folder.
        (root / label.name).symlink_to(label)


def endless(loader: Callable[[], Iterator]) -> Iterator:
    return chain.from_iterable(iter(loader()) for _ in repeat(None))


def torchgeo_batches(root: Path, crop: int, batch: int, workers: int) -> Iterator:
    data = Potsdam2DDataModule(
        batch_size=batch, patch_size=crop, val_split_pct=0, num_workers=workers, root=root
    )
    data.setup("fit")
    for tiles in endless(data.train_dataloader):
        yield data.train_aug(tiles)["image"]


def our_batches(root: Path, crop: int, batch: int, workers: int) -> Iterator:
    data = ISPRSDataModule(
        root, bands="RGBIR", train_tiles=TILES, val_tiles=[], crop_size=crop, batch_size=batch,
        num_workers=workers,
    )  # fmt: skip
    data.datasets["train"] = data.dataset("train", data.pairs("train"))
    for crops in endless(data.train_dataloader):
        yield crops["image"]


def rate(batches: Iterator, count: int) -> float:
    """Samples a second over ``count`` batches."""
    start, samples = time.perf_counter(), 0
    for images in islice(batches, count):
        samples += len(images)
    return samples / (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2, help="torchgeo holds as many tiles.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compression", nargs="+", default=["none", "lzw", "deflate"])
    options = parser.parse_args()
    print(hardware())
    print(
        f"{options.size} x {options.size} x 4, crops of {options.crop}, batches of "
        f"{options.batch}, {options.workers} workers"
    )
    print("| compression | torchgeo, samples/s | lightning_seg, samples/s | ratio |")
    print("|---|---|---|---|")
    for compression in options.compression:
        with tempfile.TemporaryDirectory() as folder:
            write_tiles(Path(folder), options.size, compression)
            settings = Path(folder), options.crop, options.batch, options.workers
            theirs, ours = torchgeo_batches(*settings), our_batches(*settings)
            measured = []
            for turn in range(options.repeats + 1):
                rates = rate(theirs, 4), rate(ours, 200)
                if turn:  # the first warms up
                    measured.append(rates)
            ratio = median(own / other for other, own in measured)
            other, own = (median(rates) for rates in zip(*measured, strict=True))
            print(f"| {compression} | {other:.2f} | {own:.1f} | {ratio:.1f} |", flush=True)
            del theirs, ours
