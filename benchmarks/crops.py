"""Training crops against a bare windowed read of the same pixels by GDAL, and a training step fed.

    python benchmarks/crops.py [--size 6000] [--crop 256] [--workers 2] [--step 20]

Writes tiles in Potsdam's format (three bands, labels in colours) by strips and by tiles, with each
compression, and takes the same crops in turns:

- reading: rasterio opens both files, reads the window and closes them, and nothing else;
- reading and decoding: also the class of each label colour by a table of 2^24 entries, and both as
  the tensors that a network takes (float32 in [0, 1] and int64), which is checked to be the same;
- ours: samples of the data module's training set, without augmentation.

All in one process, in processor time. Then the module's loader feeds steps of ``--step``
milliseconds (a sleep), and the time that a step waits for its batch is measured by the clock. Files
are in the system's cache. Labels of JPEG tiles are compressed by LZW.
"""

import argparse
import sys
import tempfile
import time
import warnings
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import rasterio
import torch
from distances import hardware
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from lightning_seg.data import ISPRSDataModule
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.reading.pairs import Pair

TILES = ("2_10", "3_10")
COLORS = np.array(list(ISPRS_CLASSES.values()), np.uint8)
LAYOUTS = {"strips": {}, "tiles": {"tiled": True, "blockxsize": 256, "blockysize": 256}}
_ROWS = 512


def write_tiles(root: Path, size: int, layout: dict, compression: str) -> None:
    """Patches of a colour each with soft texture and noise; labels of the same patches."""
    random = np.random.default_rng(0)
    for folder in ("2_Ortho_RGB", "5_Labels_all"):
        (root / folder).mkdir(parents=True)
    for tile in TILES:
        patches = random.integers(0, 6, (-(-size // 50), -(-size // 50)), np.uint8)
        labels = cv2.resize(patches, (size, size), interpolation=cv2.INTER_NEAREST)
        soft = random.integers(0, 60, (size // 8, size // 8, 3), np.uint8)
        image = cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC)
        image += 25 * labels[..., None] + random.integers(0, 8, image.shape, np.uint8)
        paths = (
            root / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif",
            root / f"5_Labels_all/top_potsdam_{tile}_label.tif",
        )
        is_jpeg = compression == "jpeg"
        for path, pixels, kind in zip(
            paths, (image, COLORS[labels]), (compression, "lzw" if is_jpeg else compression)
        ):
            color = "ycbcr" if kind == "jpeg" else "rgb"
            how = {"driver": "GTiff", "height": size, "width": size, "dtype": "uint8", **layout}
            how |= {"interleave": "pixel", "compress": kind, "photometric": color, "count": 3}
            with rasterio.open(path, "w", **how) as file:
                for row in range(0, size, _ROWS):
                    part = pixels[row : row + _ROWS].transpose(2, 0, 1)
                    file.write(part, window=Window(0, row, size, part.shape[1]))


def data_module(root: Path, options: argparse.Namespace) -> ISPRSDataModule:
    data = ISPRSDataModule(
        root, train_tiles=TILES, val_tiles=[], crop_size=options.crop, num_workers=options.workers,
        batch_size=options.batch, samples_per_epoch=10_000,
    )  # fmt: skip
    data.datasets["train"] = data.dataset("train", data.pairs("train"))
    return data


def read(pair: Pair, window: Window) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(pair.image) as file:
        image = file.read(window=window)
    with rasterio.open(pair.label) as file:
        return image, file.read(window=window)


def decode(image: np.ndarray, colors: np.ndarray, table: np.ndarray) -> tuple:
    wide = colors.astype(np.int32)
    mask = table[(wide[0] << 16) | (wide[1] << 8) | wide[2]]
    return torch.from_numpy(image).float().div_(255), torch.from_numpy(mask).long()


def crop_rates(data: ISPRSDataModule, count: int, repeats: int) -> dict[str, float]:
    """Crops a second of processor time of the three ways, after a check that samples are equal."""
    dataset = data.datasets["train"]
    table = np.full(1 << 24, 255, np.uint8)
    table[COLORS.astype(np.int64) @ [1 << 16, 1 << 8, 1]] = np.arange(len(COLORS))
    pairs = {pair.name: pair for pair in dataset.pairs}
    seconds: dict[str, list[float]] = {"reading": [], "reading and decoding": [], "ours": []}
    for turn in range(repeats + 1):
        torch.manual_seed(turn)
        starts = [time.process_time()]
        samples = [dataset[index] for index in range(count)]
        starts.append(time.process_time())
        places = [
            (pairs[sample["name"]], Window(column, row, width, height))
            for sample in samples
            for row, column, height, width in [sample["window"].tolist()]
        ]
        starts.append(time.process_time())
        for place in places:
            read(*place)
        starts.append(time.process_time())
        decoded = [decode(*read(*place), table) for place in places]
        starts.append(time.process_time())
        for sample, (image, mask) in zip(samples, decoded, strict=True):
            if not (torch.equal(sample["image"], image) and torch.equal(sample["mask"], mask)):
                sys.exit("The samples differ from those of a bare read.")
        if turn:  # the first warms up
            for name, step in (("ours", 0), ("reading", 2), ("reading and decoding", 3)):
                seconds[name].append(starts[step + 1] - starts[step])
    return {name: count / median(times) for name, times in seconds.items()}


def waits(data: ISPRSDataModule, step: float, count: int) -> tuple[float, float]:
    """Median and mean wait of a step for its batch in ms, after the loader has started."""
    batches = chain.from_iterable(iter(data.train_dataloader()) for _ in repeat(None))
    for _ in islice(batches, 10):
        pass
    waited = []
    for _ in range(count):
        time.sleep(step / 1e3)
        start = time.perf_counter()
        next(batches)
        waited.append(1e3 * (time.perf_counter() - start))
    return median(waited), sum(waited) / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step", type=float, default=20, help="ms of a training step; 0: none")
    parser.add_argument("--count", type=int, default=100, help="crops a turn, and steps fed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--compression", nargs="+", default=["none", "lzw", "deflate", "jpeg"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(hardware())
    print(
        f"{options.size} x {options.size}, crops of {options.crop}; steps of {options.step:g} ms "
        f"with batches of {options.batch}, {options.workers} workers"
    )
    print("| files | reading, crops/s | and decoding | ours | share | wait, ms (mean) |")
    print("|---|---|---|---|---|---|")
    for layout in options.layout:
        for compression in options.compression:
            with tempfile.TemporaryDirectory() as folder:
                write_tiles(Path(folder), options.size, LAYOUTS[layout], compression)
                data = data_module(Path(folder), options)
                rates = crop_rates(data, options.count, options.repeats)
                share = rates["ours"] / rates["reading and decoding"]
                named = (f"{rates[n]:.0f}" for n in ("reading", "reading and decoding", "ours"))
                row = [f"{layout}, {compression}", *named, f"{share:.0%}"]
                if options.step:
                    middle, mean = waits(data, options.step, options.count)
                    row.append(f"{middle:.1f} ({mean:.1f})")
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
