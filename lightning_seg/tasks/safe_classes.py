"""Classes that checkpoints may hold and that loading with ``weights_only=True`` creates."""

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn, optim
from torch.optim import lr_scheduler

from lightning_seg.errors import InputError

_PARTS = (
    "network", "head", "loss", "auxiliary", "inference", "window", "optimizer", "step_schedule",
    "epoch_schedule",
)  # fmt: skip
_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
_ROOMS = ("networks", "heads", "losses", "targets", "inference", "metrics", "tasks")
_ROOTS = (*(f"lightning_seg.{room}." for room in _ROOMS), "torch.nn.", "torch.optim.")


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


_TRUST = (
    "load it with weights_only=False in Python, --weights_only false (validate, test, predict) or "
    "--trust_checkpoint (export)"
)


def check_class_paths(settings: Any, path: object, trust: str = _TRUST) -> None:
    """Raise unless the settings in a checkpoint name classes of this package's models alone.

    Settings are instantiated, so a class path could otherwise name any function.

    Args:
        settings: Hyper-parameters: nested dicts and lists.
        path: The checkpoint, for the message.
        trust: How to load it all the same, for the message.

    Raises:
        InputError: A ``class_path`` is no class of this package, ``torch.nn`` or ``torch.optim``,
            or a part of the model is given by a text alone.
    """
    if isinstance(settings, list | tuple):
        for part in settings:
            check_class_paths(part, path, trust)
    if not isinstance(settings, dict):
        return
    for name, value in settings.items():
        if name in ("class_path", "_class_path") or (name in _PARTS and isinstance(value, str)):
            if not _is_own(value):
                raise InputError(
                    f"{path} names {str(value)[:100]!r} as {name}, which is no class of "
                    "lightning_seg, torch.nn or torch.optim, and could run any code. If you trust "
                    f"its origin, {trust}."
                )
        elif name == "_instantiator":
            if value != _INSTANTIATOR:
                raise InputError(f"{path} is to be made by {str(value)[:100]!r}, which is unknown.")
        else:
            check_class_paths(value, path, trust)


def _is_own(class_path: Any) -> bool:
    if not isinstance(class_path, str) or not class_path.startswith(_ROOTS):
        return False
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(kind, type) and f"{kind.__module__}.".startswith(_ROOTS)


def _classes(module: ModuleType, own: bool = False) -> list[type]:
    found = [value for value in vars(module).values() if isinstance(value, type)]
    found = [kind for kind in found if f"{kind.__module__}.".startswith(_ROOTS)]
    if not own:
        return found
    # A task could itself be told to load another file.
    return [
        kind
        for kind in found
        if kind.__module__ == module.__name__ and not issubclass(kind, LightningModule)
    ]
