"""Share of the metric callback in the validation of an epoch, and its time on small images.

    python benchmarks/validation.py [--scenes 4] [--epochs 3]

Trains the demo's U-Net (``configs/experiment/synthetic/unet.yaml``) for a few steps an epoch in one
process without workers, and sums the processor time of `BoundaryMetrics` between the start and the
end of the validation. The network's weights hardly matter for the time, but the maps that it
predicts do: the class boundaries of an untrained network are the longest.

Then the metrics of images of 64 x 64 pixels alone, against torchmetrics' Jaccard index.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import torch
from distances import hardware
from lightning.pytorch import LightningModule, Trainer
from metrics import CLASSES, VOID, near, street
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.callbacks.metrics.metric_set import MetricSet, MetricSettings
from lightning_seg.cli.segmentation_cli import run

SCENES = Path(__file__).parents[1] / "configs/experiment/synthetic/unet.yaml"


class TimedMetrics(BoundaryMetrics):
    """`BoundaryMetrics` that sums the processor time of its own hooks, in seconds."""

    epochs: ClassVar[list[tuple[float, float]]] = []  # of each validation, and of its metrics

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.seconds, self.start = 0.0, time.process_time()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the times."""
        self.epochs.append((time.process_time() - self.start, self.seconds))


def _timed(name: str) -> Callable[..., None]:
    def hook(self: TimedMetrics, *arguments: Any, **settings: Any) -> None:
        start = time.process_time()
        getattr(super(TimedMetrics, self), name)(*arguments, **settings)
        self.seconds += time.process_time() - start

    return hook


for _name in ("epoch_start", "batch_start", "batch_end", "epoch_end"):
    setattr(TimedMetrics, f"on_validation_{_name}", _timed(f"on_validation_{_name}"))


def train(options: argparse.Namespace, root: Path) -> list[tuple[float, float]]:
    """Seconds of each epoch's validation, and of the callback in it."""
    settings = {
        "boundary_metrics": "__main__.TimedMetrics", "panels": "null", "run_dir": root / "run",
        "data.root": root, "data.num_workers": 0, "data.crop_size": 128,
        "data.num_val": options.scenes,
        "trainer.accelerator": "cpu", "trainer.max_epochs": options.epochs,
        "trainer.check_val_every_n_epoch": 1, "trainer.limit_train_batches": options.steps,
        "trainer.enable_progress_bar": "false", "trainer.enable_model_summary": "false",
    }  # fmt: skip
    run(["fit", f"--config={SCENES}", *(f"--{name}={value}" for name, value in settings.items())])
    return TimedMetrics.epochs


def of_small_images(count: int) -> dict[str, float]:
    """Milliseconds of processor time an image of 64 x 64, best of five turns."""
    truth = torch.from_numpy(street(0)).long()
    pred = torch.from_numpy(near(street(0), 0)).long()
    corners = [(256 + 64 * (i % 8), 64 * (i % 32)) for i in range(count)]
    images = [
        tuple(labels[y : y + 64, x : x + 64].clone() for labels in (pred, truth))
        for y, x in corners
    ]
    settings = MetricSettings(CLASSES, VOID)
    jaccard = MulticlassJaccardIndex(CLASSES, ignore_index=VOID, average=None, validate_args=False)
    best: dict[str, float] = {}
    for _ in range(5):
        in_training = MetricSet(settings, torch.device("cpu"))
        thorough = MetricSet(settings, torch.device("cpu"), thorough=True)
        ways: dict[str, Callable[[int, Tensor, Tensor], object]] = {
            "all metrics in training": lambda i, p, t, s=in_training: s.add(p[None], t[None]),
            "all metrics of `validate`": lambda i, p, t, s=thorough: s.update(p, t, str(i), i),
            "torchmetrics' Jaccard index, called": lambda i, p, t: jaccard(p[None], t[None]),
            "torchmetrics' Jaccard index, updated": lambda i, p, t: jaccard.update(
                p[None], t[None]
            ),
        }
        for name, add in ways.items():
            start = time.process_time()
            for number, pair in enumerate(images):
                add(number, *pair)
            spent = 1e3 * (time.process_time() - start) / count
            best[name] = min(spent, best.get(name, spent))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4, help="of 512 x 512 to validate on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="of training before each validation")
    parser.add_argument("--images", type=int, default=64, help="of 64 x 64")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(hardware())
    for name, milliseconds in of_small_images(options.images).items():
        print(f"{name:40s}{milliseconds:8.2f} ms an image of 64 x 64")
    with tempfile.TemporaryDirectory() as folder:
        for epoch, (whole, part) in enumerate(train(options, Path(folder))):
            each = 1e3 / options.scenes
            print(
                f"epoch {epoch}: validation {whole * each:.0f} ms a scene, metrics "
                f"{part * each:.1f} ms, {part / whole:.1%}"
            )


if __name__ == "__main__":
    main()
