"""An optimiser, its schedule and the learning-rate factors of parameter groups."""

import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, NoReturn, Self, cast

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lightning_seg.errors import InputError


@dataclass
class Optimization:
    """How a task's parameters are trained.

    In Python, make the callables with ``functools.partial`` or ``def``: ``partial(SGD, lr=0.1)``. A
    checkpoint cannot keep a lambda; a task loaded from it predicts as ever, but refuses to train
    until it is given an optimization.

    Args:
        optimizer: Called with the parameter groups; by default AdamW at a rate of 1e-3 and a weight
            decay of 0.01.
        step_schedule: Called with ``(optimizer, steps)``, steps being the whole run's number of
            optimiser steps, and stepped after each: ``PolynomialLR`` or ``CosineAnnealingLR``.
        epoch_schedule: Called with ``(optimizer,)`` and stepped after each epoch: ``MultiStepLR``,
            or ``ReduceLROnPlateau``, which follows ``monitor``.
        monitor: The logged value that ``ReduceLROnPlateau`` follows.
        lr_factors: Factor on the learning rate of the parameters under a module, by its path:
            ``{"network.encoder": 0.1, "head": 10.0}``. The longest matching path counts.
        lr: A learning rate that goes before the optimiser's own.
    """

    optimizer: Callable[[Iterable[Any]], Optimizer] | None = None
    step_schedule: Callable[[Optimizer, int], LRScheduler] | None = None
    epoch_schedule: Callable[[Optimizer], LRScheduler] | None = None
    monitor: str = "val/loss"
    lr_factors: dict[str, float] = field(default_factory=dict)
    lr: float | None = None

    def __post_init__(self) -> None:
        if self.step_schedule is not None and self.epoch_schedule is not None:
            raise InputError(
                "optimization has both a step_schedule and an epoch_schedule; give one of them"
            )

    def __getstate__(self) -> dict[str, Any]:
        """What a checkpoint keeps: instead of a function it cannot, one that says so."""
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: value if _can_be_saved(value) else _NotSaved(name)
            for name, value in state.items()
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """With its functions as they are, unlike in a checkpoint."""
        return replace(self, lr_factors=dict(self.lr_factors))

    def configure(self, module: LightningModule) -> OptimizerLRScheduler:
        """What ``configure_optimizers`` returns for ``module``, attached to its trainer."""
        groups = self._groups(module)
        if self.optimizer is None:
            optimizer: Optimizer = AdamW(groups, lr=1e-3, weight_decay=0.01)
        else:
            optimizer = self.optimizer(groups)
        for group in optimizer.param_groups:
            rate = group["lr"] if self.lr is None else self.lr
            group["lr"] = rate * group.pop("lr_factor")
        configured: dict[str, Any] = {"optimizer": optimizer}
        if self.step_schedule is not None:
            schedule = self.step_schedule(optimizer, planned_steps(module))
            configured["lr_scheduler"] = {"scheduler": schedule, "interval": "step"}
        elif self.epoch_schedule is not None:
            epoch_schedule = self.epoch_schedule(optimizer)
            # A plateau shows only in epochs with a validation.
            follows = isinstance(epoch_schedule, ReduceLROnPlateau)
            follows = follows and self.monitor.startswith("val")
            period = module.trainer.check_val_every_n_epoch or 1
            configured["lr_scheduler"] = {
                "scheduler": epoch_schedule,
                "interval": "epoch",
                "frequency": period if follows else 1,
                "monitor": self.monitor,
            }
        return cast(OptimizerLRScheduler, configured)

    def begin_at_lr(self, module: LightningModule) -> None:
        """Gives optimiser and schedule of a run that has not begun the rate ``lr``.

        Lightning's learning-rate finder sets all groups to one rate, and no schedule's base.
        """
        assert self.lr is not None
        rates = [self.lr * group["lr_factor"] for group in self._groups(module)]
        for optimizer in module.trainer.optimizers:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = group["initial_lr"] = rate
        for config in module.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LRScheduler):
                config.scheduler.base_lrs = list(rates)

    def check_resumed(self, module: LightningModule, planned: int | None) -> None:
        """Refuses to go on with a step schedule that was made for a run of another length.

        Args:
            module: The task, attached to its trainer.
            planned: The number of steps its checkpoint was planned for, None if it says nothing.

        Raises:
            InputError: The run has another length now; its schedule would end early or at zero.
        """
        if self.step_schedule is None or planned is None:
            return
        steps = planned_steps(module)
        if steps != planned:
            raise InputError(
                f"the checkpoint's step_schedule was planned for {planned} steps, but this run has "
                f"{steps}. Set trainer.max_epochs (and the batch size) as they were, or start a "
                "new run."
            )

    def _groups(self, module: nn.Module) -> list[dict[str, Any]]:
        groups: dict[float, list[nn.Parameter]] = {}
        unmatched = set(self.lr_factors)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                paths = [p for p in self.lr_factors if name == p or name.startswith(p + ".")]
                factor = self.lr_factors[max(paths, key=len)] if paths else 1.0
                groups.setdefault(factor, []).append(parameter)
                unmatched -= set(paths)
        if unmatched:
            children = ", ".join(name for name, _ in module.named_children())
            raise InputError(
                f"optimization.lr_factors names {sorted(unmatched)}, but the task trains nothing "
                f"there; paths begin with one of: {children}"
            )
        return [{"params": group, "lr_factor": factor} for factor, group in groups.items()]


@dataclass(frozen=True)
class _NotSaved:
    """Stands in a checkpoint for a function that could not be saved."""

    name: str

    def __call__(self, *args: object) -> NoReturn:
        raise InputError(
            f"this task comes from a checkpoint, which could not keep the {self.name} of its "
            "optimization (a lambda, or a function inside another). To train it, give it one: "
            "load_from_checkpoint(path, optimization=Optimization(...)). functools.partial, or a "
            "function of a module, would have been kept."
        )


def _can_be_saved(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def planned_steps(module: LightningModule) -> int:
    """The optimiser steps of the whole run.

    Raises:
        InputError: The run has no end.
    """
    steps = module.trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise InputError(
            "step_schedule needs a run of known length; set trainer.max_epochs or trainer.max_steps"
        )
    return int(steps)
