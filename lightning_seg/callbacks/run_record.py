"""Record of a run: command, environment, epochs, speed and memory."""

import json
import math
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_seg.callbacks.environment import (
    environment,
    largest,
    peak_memory,
    start_memory,
)
from lightning_seg.callbacks.evaluation_stage import dataloaders
from lightning_seg.callbacks.metrics.distributed_padding import RealSampleMask
from lightning_seg.checkpoints import checksum
from lightning_seg.files import append, write_atomically

ENVIRONMENT, EPOCHS, FIT = "environment.jsonl", "epochs.jsonl", "fit.json"
STAGE = "record.json"


class RunRecord(Callback):
    """Record a run's environment, epochs, speed and memory in its folder.

    A fit appends its environment to ``environment.jsonl`` at every start, and each training epoch
    to ``epochs.jsonl`` (``pandas.read_json("epochs.jsonl", lines=True)``). ``fit.json`` holds the
    command of the first start; commit, seed, versions and hardware of the last start; the number of
    parameters; whether the run has ended; its seconds, samples per second and peak memory. A
    resumed run continues the same files; epochs that it trains again replace the recorded ones.
    ``validate`` and ``test`` write similar records to ``val/record.json`` and
    ``test/record.json``, with the name of the checkpoint and a checksum that identifies it.

    Attributes:
        environment: Command, commit, seed, versions and hardware; empty before ``setup`` and in
            other processes than the first.

    Args:
        folder: The run's folder, also used by the other callbacks of this package; by default the
            logger's (see `run_folder`), or the trainer's ``default_root_dir`` if there is none.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.environment: dict[str, Any] = {}
        self._begin_epoch()
        self._parameters: dict[str, int] = {}
        self._earlier_peak: dict[str, int | None] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the environment at the start of a fit."""
        folder = run_folder(trainer)  # a collective call, made by every process
        if not _writes(trainer):
            return
        self.environment = environment()
        if stage == "fit":
            append(folder / ENVIRONMENT, f"{json.dumps(self.environment)}\n")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove recorded epochs that will be trained again, and count the parameters."""
        folder = run_folder(trainer)
        start_memory(trainer.strategy.root_device)
        every = list(pl_module.parameters())
        self._parameters = {
            "all": sum(p.numel() for p in every),
            "trained": sum(p.numel() for p in every if p.requires_grad),
        }
        if not _writes(trainer):
            return
        kept = [e for e in read_lines(folder / EPOCHS) if e["epoch"] < trainer.current_epoch]
        if (folder / EPOCHS).exists():
            lines = "".join(f"{json.dumps(epoch)}\n" for epoch in kept)
            write_atomically(folder / EPOCHS, lines)
        if kept and (folder / FIT).exists():
            self._earlier_peak = _read(folder / FIT).get("peak_memory", {})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing the epoch."""
        self._begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return what the current epoch has taken so far, for a checkpoint within it."""
        return {
            "seconds": time.perf_counter() - self._started,
            "validation_seconds": self._validation_seconds,
            "samples": self._samples,
            "validated": self._validated,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the record of an epoch; an epoch from its start begins a new one."""
        self._begin_epoch(**state_dict)

    def _begin_epoch(
        self,
        seconds: float = 0.0,
        validation_seconds: float = 0.0,
        samples: int = 0,
        validated: bool = False,
    ) -> None:
        self._started = time.perf_counter() - seconds
        self._validation_seconds = validation_seconds
        self._samples = samples
        self._validated = validated

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples."""
        self._samples += _size(batch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing the validation."""
        self._start_stage(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing the test."""
        self._start_stage(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the samples."""
        self._count(batch, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Count the samples."""
        self._count(batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop timing the validation, before reports are written."""
        self._stage_seconds = time.perf_counter() - self._stage_started

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop timing the test, before reports are written."""
        self._stage_seconds = time.perf_counter() - self._stage_started

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch was validated, or write the record of ``validate``."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._finish_stage(trainer, "val")
        else:
            self._validated = True
            self._validation_seconds += time.perf_counter() - self._stage_started

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the record of ``test``."""
        self._finish_stage(trainer, "test")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append the epoch's logged scalars, learning rates and time."""
        folder = run_folder(trainer)
        peak = peak_memory(trainer.strategy.root_device)  # a collective call, too
        if not _writes(trainer):
            return
        rates = [
            group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups
        ]
        # Lightning keeps the last validation's scalars during epochs without validation.
        figures = {
            name: number if math.isfinite(number := value.item()) else None
            for name, value in trainer.callback_metrics.items()
            if self._validated or not name.startswith("val")
        }
        record = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(time.perf_counter() - self._started, 3),
            "validation_seconds": round(self._validation_seconds, 3),
            "samples": self._samples * trainer.world_size,
            "learning_rate": rates[0] if len(rates) == 1 else rates or None,
            **figures,
        }
        append(folder / EPOCHS, f"{json.dumps(record)}\n")
        self._write_fit(trainer, folder, peak)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the run is finished."""
        path = run_folder(trainer) / FIT
        if _writes(trainer) and path.exists():
            write_atomically(path, json.dumps(_read(path) | {"finished": True}, indent=2) + "\n")

    def _write_fit(self, trainer: Trainer, folder: Path, peak: dict[str, int | None]) -> None:
        epochs = read_lines(folder / EPOCHS)
        seconds, validation, samples = (
            sum(epoch.get(key, 0) for epoch in epochs)
            for key in ("seconds", "validation_seconds", "samples")
        )
        starts = read_lines(folder / ENVIRONMENT)
        earlier = self._earlier_peak
        record = {
            **self.environment,
            # A resumed run may be started by another command.
            "command": starts[0]["command"],
            "starts": len(starts),
            **_hardware(trainer),
            "parameters": self._parameters,
            "finished": False,
            "epochs": len(epochs),
            "steps": trainer.global_step,
            "seconds": round(seconds, 3),
            "validation_seconds": round(validation, 3),
            "samples": samples,
            "samples_per_second": _rate(samples, seconds - validation),
            "peak_memory": {key: largest(peak[key], earlier.get(key)) for key in peak},
        }
        write_atomically(folder / FIT, json.dumps(record, indent=2) + "\n")

    def _start_stage(self, trainer: Trainer) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            start_memory(trainer.strategy.root_device)
        self._stage_samples = 0
        world = trainer.world_size, trainer.global_rank
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metrics that count samples twice
            self._real = [RealSampleMask(loader, *world) for loader in dataloaders(trainer)]
        self._stage_started = time.perf_counter()
        self._stage_seconds = 0.0

    def _count(self, batch: Any, dataloader_idx: int) -> None:
        real, _ = self._real[dataloader_idx](_size(batch))
        self._stage_samples += sum(real)

    def _finish_stage(self, trainer: Trainer, stage: str) -> None:
        folder = run_folder(trainer)
        device = trainer.strategy.root_device
        peak = peak_memory(device)
        counted = torch.tensor(self._stage_samples, device=device)
        samples = int(trainer.strategy.reduce(counted, reduce_op="sum"))
        if not _writes(trainer):
            return
        record = {
            **self.environment,
            **_hardware(trainer),
            "checkpoint": ", ".join(evaluated_checkpoints(trainer, folder)) or None,
            "checkpoint_checksum": ", ".join(filter(None, map(checksum, _evaluated(trainer))))
            or None,
            "samples": samples,
            "seconds": round(self._stage_seconds, 3),
            "samples_per_second": _rate(samples, self._stage_seconds),
            "peak_memory": peak,
        }
        write_atomically(folder / stage / STAGE, json.dumps(record, indent=2) + "\n")


def run_folder(trainer: Trainer) -> Path:
    """Return the run's folder; a collective call, to be made by every process.

    It is that of the `RunRecord`, or of the first logger. Loggers such as MLflow and Weights &
    Biases keep one folder for all runs or a database of their own; the run's is then
    ``lightning_logs/NAME/VERSION`` below the trainer's ``default_root_dir``, by the logger's name
    and version.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, RunRecord) and callback.folder is not None:
            return callback.folder
    logger = trainer.logger
    if logger is None or getattr(logger, "log_dir", None) is not None:
        return Path(trainer.log_dir or trainer.default_root_dir)
    named = trainer.strategy.broadcast((str(logger.name), str(logger.version)))
    return Path(trainer.default_root_dir, "lightning_logs", *named)


def evaluated_checkpoints(trainer: Trainer, folder: Path) -> list[str]:
    """Return the checkpoint, or those of an ensemble's members, relative to the run's folder."""
    return [_name_within(path, folder) for path in _evaluated(trainer)]


def _evaluated(trainer: Trainer) -> list[str]:
    paths = getattr(trainer.lightning_module, "checkpoints", ()) or (trainer.ckpt_path,)
    return [str(path) for path in paths if path is not None]


def is_trial(trainer: Trainer) -> bool:
    """Return whether this is a ``fast_dev_run``, which writes no files."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON Lines file; an empty list if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may cut the last


def _writes(trainer: Trainer) -> bool:
    return trainer.is_global_zero and not is_trial(trainer)


def _hardware(trainer: Trainer) -> dict[str, Any]:
    return {
        "device": trainer.strategy.root_device.type,
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
    }


def _size(batch: Any) -> int:
    """Return the batch size: the length of the first tensor in the batch, or 0."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 0
    parts: Iterable[Any] = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    return next((size for part in parts if (size := _size(part))), 0)


def _rate(samples: int, seconds: float) -> float | None:
    return round(samples / seconds, 3) if samples and seconds > 0 else None


def _name_within(path: str, folder: Path) -> str:
    """Return a checkpoint's path relative to the run's folder, or unchanged if outside it."""
    resolved, top = Path(path).resolve(), folder.resolve()
    return str(resolved.relative_to(top)) if resolved.is_relative_to(top) else path


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
