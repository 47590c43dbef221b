"""Checkpoint at the next step when a signal asks the process to end."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.trainer.states import TrainerFn

# Ctrl-C, a closed terminal, the end of a job, and SLURM's warning before pre-emption.
_NAMES = ("SIGINT", "SIGHUP", "SIGTERM", "SIGUSR1")
_SIGNALS = [number for number in signal.Signals if number.name in _NAMES]


class StopOnSignal(Checkpoint):
    """End training after the current step if SIGTERM, Ctrl-C, SIGHUP or SIGUSR1 arrives.

    A checkpoint is written first, from which training continues at the next step. The exit status
    is 128 plus the signal's number (143, 130, 129, 138). A second signal ends the process at once,
    and so does the first one outside of training. Signals that the process ignores (``nohup``) stay
    ignored. If one of several processes gets a signal, all stop after the same step; a validation
    on several processes ends first. Under SLURM, SIGUSR1 requeues the job.

    Args:
        path: The checkpoint; None for none.
        hint: How to continue, for the message.
    """

    def __init__(self, path: str | Path | None, hint: str = "") -> None:
        self.path = path
        self.hint = hint
        self._received = 0
        self._requeues = False
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals from now on; Lightning restores the former handlers."""
        self._received, self._steps = 0, trainer.global_step
        # Lightning handles SIGUSR1 only in a SLURM job that it may requeue.
        handled = [number.name for number in _SIGNALS if callable(signal.getsignal(number))]
        self._requeues = "SIGUSR1" in handled and "SLURM_JOB_ID" in os.environ
        _handle(self._note)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after a step of the optimiser; accumulated gradients are in no checkpoint."""
        stepped = trainer.global_step > self._steps
        self._steps = trainer.global_step
        if stepped and (number := self._agreed(trainer)):
            self._stop(trainer, number)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Stop within a validation, which a resumed run then repeats."""
        training = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not training or not self._received or trainer.world_size > 1:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):  # validates with the averaged weights
                callback.on_validation_epoch_end(trainer, pl_module)
        self._stop(trainer, self._received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at the end of an epoch."""
        if number := self._agreed(trainer):
            self._stop(trainer, number)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals end ``validate`` at once; Lightning would ignore SIGTERM."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            _handle(_end_at_once)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals end ``test`` at once."""
        _handle(_end_at_once)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals end ``predict`` at once."""
        _handle(_end_at_once)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        _handle(_end_at_once)

    def _agreed(self, trainer: Trainer) -> int:
        """Return the signal that any process has received, 0 for none."""
        if trainer.world_size == 1:
            return self._received
        received = torch.tensor(self._received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(received, reduce_op="max"))

    def _stop(self, trainer: Trainer, number: int) -> None:
        name = signal.Signals(number).name
        written = "no checkpoint was written"
        if self.path is not None:
            trainer.save_checkpoint(self.path)
            written = f"{self.path} was written. {self.hint}".rstrip()
        if trainer.is_global_zero:
            message = f"{name}: training stopped after step {trainer.global_step}; {written}"
            print(f"\n{message}", file=sys.stderr, flush=True)
            if name == "SIGUSR1" and self._requeues:
                subprocess.run(["scontrol", "requeue", _slurm_job()], check=False)
        # Lightning kills all processes if one that it started ends with another status than 0.
        cluster = getattr(trainer.strategy.launcher, "cluster_environment", None)
        started = isinstance(cluster, LightningEnvironment) and trainer.local_rank > 0
        sys.exit(0 if started else 128 + number)


def _handle(handler: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _slurm_job() -> str:
    array, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ["SLURM_JOB_ID"]
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job
