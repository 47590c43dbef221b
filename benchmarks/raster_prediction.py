"""Time of predicting a whole raster besides the network, and peak memory.

    python benchmarks/raster_prediction.py [--size 2048] [--repeats 3]
    python benchmarks/raster_prediction.py --memory 20000 20000

The first sets `predict_rasters` (reading, probabilities, stitching, deciding, writing a GeoTIFF)
against the bare forward passes of a ResNet-18 U-Net on as many windows. Both take turns, and the
median of the ratios of a round counts; times are this process's own on the CPU, so that other work
on the machine matters less.

The second predicts a GeoTIFF of this height and width in a process of its own, with a network of
one 1 x 1 convolution, so that what is resident at most, less what was once the model was made, is
what prediction itself takes (Linux alone).
"""

import argparse
import resource
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
import torch
from distances import hardware
from lightning.pytorch import Trainer
from rasterio.windows import Window
from torch import Tensor, nn

from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Network, Unet
from lightning_seg.prediction import predict_rasters
from lightning_seg.tasks import SegmentationTask

CLASSES = 6
WINDOWS = {
    "256, stride 64, padding 128": SlidingWindow((256, 256), 0.75, 8, 128),
    "512, stride 256": SlidingWindow((512, 512), 0.5, 4),
}


class Pointwise(Network):
    """One convolution of single pixels."""

    stride = 1
    out_channels = 8

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.convolution = nn.Conv2d(in_channels, self.out_channels, 1)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """The only feature."""
        return {"decoder": self.convolution(image)}


def make_task(network, window: SlidingWindow) -> SegmentationTask:
    torch.manual_seed(0)
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    return SegmentationTask(
        CLASSES, 3, network, ClassificationHead, losses, inference=window
    ).eval()


def write_raster(path: Path, height: int, width: int) -> None:
    """Noise over a pattern, as RGB with a place on earth, written some rows at a time."""
    random = np.random.default_rng(0)
    transform = rasterio.Affine(0.05, 0, 367000, 0, -0.05, 5808000)
    with rasterio.open(
        path, "w", "GTiff", width, height, 3, crs="EPSG:25833", transform=transform, dtype="uint8",
        tiled=True, compress="deflate",
    ) as file:  # fmt: skip
        for row in range(0, height, 256):
            rows = min(256, height - row)
            noise = random.integers(0, 64, (3, rows, 256), np.uint8)
            wide = np.tile(noise, (1, 1, -(-width // 256)))[:, :, :width]
            file.write(wide + np.uint8(row // 256 % 2 * 128), window=Window(0, row, width, rows))


def predict(task: SegmentationTask, raster: Path, folder: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    predict_rasters(task, raster, folder, trainer=trainer)


def overhead(size: int, repeats: int) -> None:
    print(f"{size} x {size} pixels, U-Net (ResNet-18), {CLASSES} classes, one thread")
    print("| windows | number | bare forward passes, s | predicted raster, s | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        raster = Path(folder, "raster.tif")
        write_raster(raster, size, size)
        for name, window in WINDOWS.items():
            task = make_task(partial(Unet, encoder="resnet18"), window)
            batches = window.layout(size, size).batches
            measured = []
            for repeat in range(repeats + 1):
                crops = torch.rand(window.batch_size, 3, *window.size)
                start = time.process_time()
                with torch.inference_mode():
                    for batch in batches:
                        task(crops[: len(batch)])
                bare = time.process_time() - start
                start = time.process_time()
                predict(task, raster, Path(folder, f"{window.size[0]}_{repeat}"))
                measured.append((bare, time.process_time() - start))
            measured = measured[1:]  # the first round warms up
            ratio = median(whole / bare for bare, whole in measured)
            bare, whole = (median(times) for times in zip(*measured, strict=True))
            number = sum(map(len, batches))
            print(f"| {name} | {number} | {bare:.2f} | {whole:.2f} | {ratio:.3f} |", flush=True)


def memory(height: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raster, out = Path(folder, "raster.tif"), Path(folder, "out")
        with get_context("spawn").Pool(1) as pool:  # what writes must not count
            pool.apply(write_raster, (raster, height, width))
        with get_context("spawn").Pool(1) as pool:
            before, most, seconds = pool.apply(_predict_and_measure, (raster, out))
        with rasterio.open(out / "raster.tif") as file:
            print(f"{file.width} x {file.height}, {file.profile['compress']}, {file.crs}")
    print(f"resident: {before:.0f} MiB with the model, {most:.0f} MiB at most")
    print(f"prediction itself: {most - before:.0f} MiB; {seconds:.0f} s")


def _predict_and_measure(raster: Path, out: Path) -> tuple[float, float, float]:
    torch.set_num_threads(1)
    window = SlidingWindow((512, 512), 0.25, 4)
    task = make_task(Pointwise, window)
    with torch.inference_mode():
        task.infer_window(torch.rand(window.batch_size, 3, *window.size))
    before = _resident()
    start = time.perf_counter()
    predict(task, raster, out)
    return (
        before,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        (time.perf_counter() - start),
    )


def _resident() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(hardware())
    if options.memory:
        memory(*options.memory)
    else:
        overhead(options.size, options.repeats)
