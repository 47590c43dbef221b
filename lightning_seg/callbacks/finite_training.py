"""Stops a training whose gradient is no longer finite."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lightning_seg.errors import InputError, check_choice

Action = Literal["stop", "skip"]


class FiniteTraining(Callback):
    """Stop training, or skip the step, when a gradient is not finite.

    Stopping reads the check of a step only after the next forward and backward pass, so that the
    device is never waited for; no checkpoint and no validation takes place in between. Skipping
    waits for the device once a step, before the optimiser changes the weights. With float16 the
    callback does nothing: the gradient scaler skips such steps.

    Args:
        action: ``"stop"`` raises; ``"skip"`` leaves the weights alone, goes on with the next batch,
            and logs the number of skipped steps as ``train/skipped_steps``.
        patience: With ``"skip"``, raise after this many steps in a row.

    Raises:
        InputError: An unknown action or a patience below 1. (in training) A gradient is not finite;
            names the step, the images of the batch, and the logged losses that are not finite.
    """

    def __init__(self, action: Action = "stop", patience: int = 10) -> None:
        check_choice("action", action, Action)
        if patience < 1:
            raise InputError(f"patience is {patience}, expected 1 or more steps")
        self.action = action
        self.patience = patience
        self.skipped = 0
        self._in_a_row = 0
        self._names: Any = None
        self._unread: _Step | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the names of the images."""
        self._names = batch.get("name") if isinstance(batch, dict) else None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Check the gradients, which all processes share by now."""
        self._raise_if_lost()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if getattr(trainer.precision_plugin, "scaler", None) is not None or not gradients:
            return
        losses = {n: v for n, v in trainer.callback_metrics.items() if n.startswith("train/")}
        norm = get_total_norm(gradients, norm_type=math.inf)
        step = _Step(norm, trainer.global_step, trainer.current_epoch, self._names, losses)
        if self.action == "stop":
            self._unread = step
            return
        if step.finite:
            self._in_a_row = 0
            return
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row == self.patience:
            raise InputError(f"{step}, and so were the {self.patience - 1} before. {_ADVICE}")
        for parameter in parameters:
            parameter.grad = None
        pl_module.log("train/skipped_steps", float(self.skipped), reduce_fx="max")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the check of the last step before its weights are evaluated."""
        self._raise_if_lost()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read the check of the last step before its weights are written."""
        self._raise_if_lost()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the check of the last step."""
        self._raise_if_lost()

    def state_dict(self) -> dict[str, int]:
        """Return the number of skipped steps."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the number of skipped steps."""
        self.skipped = state_dict["skipped"]

    def _raise_if_lost(self) -> None:
        step, self._unread = self._unread, None
        if step is not None and not step.finite:
            raise InputError(f"{step}, so training stops. {_ADVICE}")


_ADVICE = (
    "Look for NaN or huge values in these images, lower the learning rate, or clip the gradient "
    "(--trainer.gradient_clip_val 1)"
)


@dataclass(frozen=True)
class _Step:
    """A step of the optimiser, with the largest absolute value of its gradients."""

    norm: Tensor
    number: int
    epoch: int
    names: Any
    losses: dict[str, Tensor]

    @property
    def finite(self) -> bool:
        return bool(self.norm.isfinite())

    def __str__(self) -> str:
        images = ", ".join(map(str, self.names)) if self.names is not None else "unnamed images"
        lost = [name for name, value in self.losses.items() if not value.isfinite().all()]
        losses = f"{', '.join(lost)} is not finite" if lost else "the losses are finite"
        return (
            f"the gradient is not finite in step {self.number} of epoch {self.epoch} (batch: "
            f"{images}; {losses})"
        )
