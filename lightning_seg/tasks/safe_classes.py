"""Classes that checkpoints may hold and that loading with ``weights_only=True`` creates."""

import sys
from functools import partial
from types import ModuleType

import torch
from lightning.pytorch import LightningModule
from torch import nn, optim
from torch.optim import lr_scheduler

_ROOMS = ("networks", "heads", "losses", "targets", "inference", "metrics", "tasks")


def allow_own_classes() -> None:
    """Let ``torch.load(weights_only=True)`` create what a task made in Python is described by.

    These are the classes of this package's models, ``torch.nn``, ``torch.optim`` and
    ``functools.partial``. None of them runs code of the file.
    """
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(tuple(f"{__package__.split('.')[0]}.{room}" for room in _ROOMS))
    ]
    own = [kind for module in modules for kind in _classes(module, own=True)]
    known = [kind for module in (nn, optim, lr_scheduler) for kind in _classes(module)]
    torch.serialization.add_safe_globals([partial, *own, *known])


def _classes(module: ModuleType, own: bool = False) -> list[type]:
    found = [value for value in vars(module).values() if isinstance(value, type)]
    if not own:
        return found
    # A task could itself be told to load another file.
    return [
        kind
        for kind in found
        if kind.__module__ == module.__name__ and not issubclass(kind, LightningModule)
    ]
