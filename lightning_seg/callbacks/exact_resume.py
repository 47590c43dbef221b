"""Resumed runs that are bit-exactly equal to uninterrupted ones."""

import random
from typing import Any

import numpy as np
import torch
import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn


class ExactResume(Callback):
    """Complete checkpoints, so that a resumed run continues exactly where it was saved.

    Lightning stores neither random states nor logged values. If a checkpoint was written between
    the last batch and a validation, the resumed run skips that validation (and the end of the
    epoch); if it was written at the end of an epoch, the step of ``ReduceLROnPlateau``. This
    callback

    - stores and restores the random states of Python, NumPy, torch and CUDA of every process,
    - catches up on the validation, the end of the epoch and the step of a plateau schedule.

    The DataModule must itself continue crops, augmentations and the order of samples, as those of
    `lightning_seg.data` do. If another DataModule draws from the global random states, the batches
    of the started epoch are drawn again. List this callback first, so that it restores before
    others draw random numbers. Averages over an epoch (``log(..., on_epoch=True)``) that a run was
    resumed within cover the batches from there on. Processes beyond those of the checkpoint keep
    their random states.
    """

    def __init__(self) -> None:
        self._states: dict[str, Any] | None = None
        self._before_validation: dict[str, Any] | None = None
        self._metrics: dict[str, Any] = {}
        self._plateau_epoch: int | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store random states, logged values and the progress of the loops, all as plain data."""
        states = self._before_validation or _random_states(trainer.strategy.root_device)
        every: list[Any] = [states]
        if trainer.world_size > 1:
            every *= trainer.world_size
            torch.distributed.all_gather_object(every, every[0])
        checkpoint["random_states"] = every
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        checkpoint["logged"] = metrics
        if trainer.state.fn == TrainerFn.FITTING:
            checkpoint["plateau_epoch"] = _at_epoch_end(trainer)
            _correct_progress(trainer, checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read the states that are restored when training starts."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        every = checkpoint.get("random_states", [])
        self._states = every[trainer.global_rank] if trainer.global_rank < len(every) else None
        self._metrics = checkpoint.get("logged", {})
        self._plateau_epoch = checkpoint.get("plateau_epoch")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore logged values, and step the plateau schedules that were not stepped."""
        self._before_validation = None
        metrics, self._metrics = self._metrics, {}
        trainer.callback_metrics.update(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in metrics.items()}
        )
        if self._plateau_epoch is None:
            return
        for config in trainer.lr_scheduler_configs:
            due = config.interval == "epoch" and self._plateau_epoch % config.frequency == 0
            if config.reduce_on_plateau and due and config.monitor in metrics:
                pl_module.lr_scheduler_step(config.scheduler, metrics[config.monitor])
        self._plateau_epoch = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random states of a checkpoint written at the end of an epoch."""
        if self._states is None:
            return
        self._restore(trainer)
        loop = trainer.fit_loop
        loop.epoch_loop.restarting = False
        assert loop._data_fetcher is not None
        iter(loop._data_fetcher)  # draws the order of a foreign loader again

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random states of a checkpoint written before the validation."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._restore(trainer)
            self._before_validation = _random_states(trainer.strategy.root_device)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store current random states again; until here, checkpoints repeat the validation."""
        self._before_validation = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the random states of a checkpoint written within an epoch."""
        self._restore(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let Lightning step plateau schedules at the end of the resumed epoch, too."""
        trainer.fit_loop._restarting = False

    def _restore(self, trainer: Trainer) -> None:
        states, self._states = self._states, None
        if states is None:
            return
        version, numbers, gauss = states["python"]
        random.setstate((version, tuple(numbers), gauss))
        keys, *rest = states["numpy"]
        np.random.set_state(("MT19937", keys.numpy(), *rest))  # noqa: NPY002
        torch.set_rng_state(states["torch"])
        device = trainer.strategy.root_device
        if device.type == "cuda" and states["cuda"] is not None:
            torch.cuda.set_rng_state(states["cuda"], device)


def _random_states(device: torch.device) -> dict[str, Any]:
    state: Any = np.random.get_state()  # noqa: NPY002
    _, keys, *rest = state
    return {
        "python": random.getstate(),
        "numpy": [torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _at_epoch_end(trainer: Trainer) -> int | None:
    """Return the number of processed epochs if this is the end of one, otherwise None."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return epochs.processed if epochs.processed > epochs.completed else None


def _correct_progress(trainer: Trainer, loops: dict[str, Any]) -> None:
    """Change the stored state of the loops so that Lightning skips nothing."""
    loop = trainer.fit_loop.epoch_loop
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validated = loops["epoch_loop.val_loop.batch_progress"]
    pending = False
    if _at_epoch_end(trainer) is not None:
        _complete(epochs)
    elif trainer.validating:
        done = validated["current"]
        pending = done["processed"] > done["completed"] or not done["ready"]
    elif batches["current"]["processed"] > batches["current"]["completed"]:
        assert trainer.fit_loop._data_fetcher is not None
        pending = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
        if not pending and loop._num_ready_batches_reached():
            loops["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
        if pending or loop._num_ready_batches_reached():
            _complete(batches)
    _complete(validated)
    if pending:
        # Lightning takes this for a validation that was interrupted in its first batch.
        validated["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        validated["current"] |= {"ready": 0, "started": 0, "processed": 0, "completed": 0}


def _complete(progress: dict[str, Any]) -> None:
    for counts in (progress["total"], progress["current"]):
        counts |= dict.fromkeys(("ready", "started", "completed"), counts["processed"])
