"""Optimiser, learning-rate schedule and per-module learning-rate factors."""

import math
import pickle
from collections import Counter
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
    """Optimiser and learning-rate schedule of a task.

    In Python, define the callables with ``functools.partial`` or ``def``: ``partial(SGD, lr=0.1)``.
    Checkpoints cannot store a lambda. A task loaded from such a checkpoint can predict, but raises
    on training until it gets a new optimization.

    Args:
        optimizer: Called with the parameter groups; by default AdamW with a learning rate of 1e-3
            and a weight decay of 0.01.
        step_schedule: Called with ``(optimizer, steps)``, where ``steps`` is the total number of
            optimiser steps of the run; stepped after each of them. ``PolynomialLR`` or
            ``CosineAnnealingLR``.
        epoch_schedule: Called with ``(optimizer,)`` and stepped after each epoch. ``MultiStepLR``,
            or ``ReduceLROnPlateau``, which watches ``monitor``.
        monitor: Logged value that ``ReduceLROnPlateau`` watches.
        lr_factors: Learning-rate factors by module path:
            ``{"network.encoder": 0.1, "head": 10.0}``. The longest matching path wins.
        lr: Learning rate that overrides the optimiser's.
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
        """Return the state for a checkpoint; functions that cannot be pickled are replaced."""
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: value if _can_be_saved(value) else _NotSaved(name)
            for name, value in state.items()
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy with all functions, including those that cannot be pickled."""
        return replace(self, lr_factors=dict(self.lr_factors))

    def configure(self, module: LightningModule) -> OptimizerLRScheduler:
        """Return the result of ``configure_optimizers`` for a module attached to its trainer."""
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
            # A monitored validation value changes only in epochs with validation.
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
        """Set optimiser and schedule of a new run to the learning rate ``lr``.

        Lightning's learning-rate finder sets all groups to one rate and ignores schedules.
        """
        assert self.lr is not None
        rates = [self.lr * group["lr_factor"] for group in self._groups(module)]
        for optimizer in module.trainer.optimizers:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = group["initial_lr"] = rate
        for config in module.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LRScheduler):
                config.scheduler.base_lrs = list(rates)

    @staticmethod
    def check_same(configured: dict[str, Any], stored: dict[str, Any]) -> None:
        """Raise if a resumed run asks for another optimiser or other settings of it.

        Resuming restores the optimiser with its settings, and would silently drop the new ones.

        Args:
            configured: Settings of the new command, see `optimizer_settings`.
            stored: Settings of the checkpoint.
        """
        for name in (n for n in configured if n in stored):  # versions of PyTorch differ in names
            here, there = configured[name], stored[name]
            if here != there:
                raise InputError(
                    f"the checkpoint was trained with {name} {there}, but this command asks for "
                    f"{here}. A resumed run keeps its optimiser and schedule: restore the setting, "
                    "or start a new run from the weights (--model.weights)."
                )

    def check_resumed(self, module: LightningModule, planned: int | None) -> None:
        """Raise if a resumed step schedule was planned for a run of another length.

        Args:
            module: The task, attached to its trainer.
            planned: Number of steps planned in the checkpoint, None if unknown.
        """
        if self.step_schedule is None or planned is None:
            return
        steps = planned_steps(module)
        if steps != planned:
            raise InputError(
                f"the checkpoint's step_schedule was planned for {planned} steps, but this run has "
                f"{steps}. Restore trainer.max_epochs (and the batch size), or start a new run."
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
                f"optimization.lr_factors names {sorted(unmatched)}, but the task has no trainable "
                f"parameters there; paths begin with one of: {children}"
            )
        return [{"params": group, "lr_factor": factor} for factor, group in groups.items()]


# Lengths of step schedules, which `Optimization.check_resumed` compares.
_LENGTHS = ("total_iters", "total_steps", "T_max", "T_0", "num_steps")


def optimizer_settings(configured: Any) -> dict[str, Any]:
    """Return the settings of a new optimiser and its schedule as plain data.

    Args:
        configured: Result of `Optimization.configure`. Several groups have one value each.
    """
    optimizer: Optimizer = configured["optimizer"]
    settings: dict[str, Any] = {"optimizer": type(optimizer).__name__}
    for name in optimizer.param_groups[0]:
        values = [group[name] for group in optimizer.param_groups]
        if name not in ("params", "initial_lr") and all(map(_is_plain, values)):
            settings[name] = list(values) if len(values) > 1 else values[0]
    if "lr_scheduler" in configured:
        schedule = configured["lr_scheduler"]["scheduler"]
        settings["schedule"] = type(schedule).__name__
        left_out = _LENGTHS if configured["lr_scheduler"]["interval"] == "step" else ()
        settings |= _schedule_settings("schedule", schedule.state_dict(), left_out)
    return settings


def _schedule_settings(
    name: str, state: dict[str, Any], left_out: tuple[str, ...]
) -> dict[str, Any]:
    """Return the plain settings of a schedule, and of those that it runs one after another."""
    settings: dict[str, Any] = {}
    for key, value in state.items():
        if key == "_schedulers":
            for i, part in enumerate(value):
                settings |= _schedule_settings(f"{name}.{i}", part, left_out)
        elif isinstance(value, Counter):  # milestones
            settings[f"{name}.{key}"] = sorted(value.elements())
        elif key not in left_out and _is_plain(value):
            settings[f"{name}.{key}"] = value
    return settings


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


@dataclass(frozen=True)
class _NotSaved:
    """Placeholder in a checkpoint for a function that could not be pickled."""

    name: str

    def __call__(self, *args: object) -> NoReturn:
        raise InputError(
            f"this task was loaded from a checkpoint, which could not store the {self.name} of "
            "its optimization (a lambda or a nested function). To train it, pass a new one: "
            "load_from_checkpoint(path, optimization=Optimization(...)). functools.partial and "
            "module-level functions can be stored."
        )


def _can_be_saved(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def planned_steps(module: LightningModule) -> int:
    """Return the total number of optimiser steps of the run."""
    steps = module.trainer.estimated_stepping_batches
    if math.isinf(steps):
        raise InputError(
            "step_schedule needs a run of fixed length; set trainer.max_epochs or trainer.max_steps"
        )
    return int(steps)
