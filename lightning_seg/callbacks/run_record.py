"""What a run was and how it went, in its folder."""

import json
import math
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_seg.files import write_atomically

_PACKAGES = (
    "lightning_seg",
    "lightning",
    "torch",
    "torchvision",
    "torchmetrics",
    "timm",
    "albumentations",
    "numpy",
    "scipy",
    "opencv-python-headless",
)


class RunRecord(Callback):
    """Writes each start to ``environment.jsonl`` and each training epoch to ``epochs.jsonl``.

    A resumed run appends to the same files, so nothing of the first part is lost; epochs that it
    trains again replace the recorded ones. Read the epochs
    with ``pandas.read_json("epochs.jsonl", lines=True)``.

    Args:
        folder: The run's folder, also for the other callbacks of this package; by default the
            logger's, or the trainer's ``default_root_dir`` where there is none.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes the environment at the start of a fit."""
        folder = run_folder(trainer)  # a collective call: on every process
        if stage == "fit" and trainer.is_global_zero and not _is_trial(trainer):
            folder.mkdir(parents=True, exist_ok=True)
            _append(folder / "environment.jsonl", environment())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drops recorded epochs that are about to be trained again."""
        path = run_folder(trainer) / "epochs.jsonl"
        if trainer.is_global_zero and not _is_trial(trainer) and path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["epoch"] < trainer.current_epoch]
            if len(kept) < len(lines):
                write_atomically(path, "".join(f"{line}\n" for line in kept))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the epoch's clock."""
        self._started = time.perf_counter()
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes that this epoch has validation figures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Appends the epoch's figures: every logged scalar, the learning rates and the seconds."""
        folder = run_folder(trainer)
        if not trainer.is_global_zero or _is_trial(trainer):
            return
        rates = [
            group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups
        ]
        # Lightning keeps the last validation's figures through epochs without one.
        figures = {
            name: number if math.isfinite(number := value.item()) else None
            for name, value in trainer.callback_metrics.items()
            if self._validated or not name.startswith("val")
        }
        record = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(time.perf_counter() - self._started, 3),
            "learning_rate": rates if len(rates) > 1 else rates[0],
            **figures,
        }
        _append(folder / "epochs.jsonl", record)


def run_folder(trainer: Trainer) -> Path:
    """The run's folder; every process must call it, since they agree on it together."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, RunRecord) and callback.folder is not None:
            return callback.folder
    return Path(trainer.log_dir or trainer.default_root_dir)


def environment() -> dict[str, Any]:
    """Versions, hardware and command of this process."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: v for name in _PACKAGES if (v := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
