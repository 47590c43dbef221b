"""Stops a training whose loss or gradient is no longer finite."""

import math
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lightning_seg.errors import InputError


class FiniteTraining(Callback):
    """Stop training, or skip the step, when a gradient is not finite.

    The check comes before the optimiser's step, so that weights, checkpoints and the averages of
    the optimiser stay finite. It costs one reduction of the gradients and one synchronisation with
    the device a step. With float16 the gradient scaler already skips such steps; the callback then
    only counts those of the loss.

    Args:
        action: ``"stop"`` raises; ``"skip"`` leaves the weights alone, goes on with the next batch,
            and logs the number of skipped steps as ``train/skipped_steps``.
        patience: With ``"skip"``, raise after this many steps in a row.

    Raises:
        InputError: An unknown action or a patience below 1. (in training) A gradient is not finite;
            names the step, the images of the batch, and the logged losses that are not finite.
    """

    def __init__(self, action: Literal["stop", "skip"] = "stop", patience: int = 10) -> None:
        if action not in ("stop", "skip"):
            raise InputError(f"action is {action!r}, expected 'stop' or 'skip'")
        if patience < 1:
            raise InputError(f"patience is {patience}, expected 1 or more steps")
        self.action = action
        self.patience = patience
        self.skipped = 0
        self._in_a_row = 0
        self._names: Any = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the names of the images."""
        self._names = batch.get("name") if isinstance(batch, dict) else None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Check the gradients, which all processes share by now."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if getattr(trainer.precision_plugin, "scaler", None) is not None or _all_finite(gradients):
            self._in_a_row = 0
            return
        if self.action == "stop":
            raise InputError(
                self._message(trainer, "so training stops before the weights are lost")
            )
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row == self.patience:
            raise InputError(self._message(trainer, f"and so were the {self.patience - 1} before"))
        for parameter in parameters:
            parameter.grad = None
        pl_module.log("train/skipped_steps", float(self.skipped), reduce_fx="max")

    def state_dict(self) -> dict[str, int]:
        """Return the number of skipped steps."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the number of skipped steps."""
        self.skipped = state_dict["skipped"]

    def _message(self, trainer: Trainer, outcome: str) -> str:
        names = ", ".join(map(str, self._names)) if self._names is not None else "unnamed images"
        terms = [
            name
            for name, value in trainer.callback_metrics.items()
            if name.startswith("train/") and not torch.isfinite(value).all()
        ]
        losses = f"{', '.join(terms)} is not finite" if terms else "the losses are finite"
        return (
            f"the gradient is not finite in step {trainer.global_step} of epoch "
            f"{trainer.current_epoch} (batch: {names}; {losses}), {outcome}. Look for NaN or huge "
            "values in these images, lower the learning rate, or clip the gradient "
            "(--trainer.gradient_clip_val 1)"
        )


def _all_finite(gradients: list[Tensor]) -> bool:
    return not gradients or bool(get_total_norm(gradients, norm_type=math.inf).isfinite())
