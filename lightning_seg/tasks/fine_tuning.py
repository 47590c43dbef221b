"""Filling a task with another one's weights, as far as they fit."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_seg.errors import InputError

PARTS = ("network", "head", "auxiliary_head")


def load_matching_weights(task: nn.Module, path: str | Path) -> list[str]:
    """Fills the network and the head of ``task`` from a checkpoint and says what it left out.

    A tensor fits where one of its name and shape is in the file. With another number of classes
    the classifier does not, with another number of bands the first convolution, and so on; they
    stay as they were initialised. Losses, the optimiser and its schedule start anew.

    Args:
        task: With ``network`` and ``head``.
        path: A checkpoint of a `SegmentationTask` that you trust, or a file that ``torch.save``
            made of a state dict.

    Returns:
        A line for each module of the task, and for each of the file, that was left out.

    Raises:
        InputError: No such file, no state dict in it, or nothing in it fits.
    """
    given = {name: t for name, t in _read(Path(path)).items() if _is_of_parts(name)}
    own = {name: tensor for name, tensor in task.state_dict().items() if _is_of_parts(name)}
    fitting = {name: t for name, t in given.items() if name in own and t.shape == own[name].shape}
    # Batch normalisation's counters fit any other's: they are no sign that the networks are alike.
    learnt = [name for name, tensor in fitting.items() if tensor.ndim > 0]
    wanted = [name for name, tensor in own.items() if tensor.ndim > 0]
    if not any(name.startswith("network.") for name in learnt):
        raise InputError(
            f"weights: nothing of {path} fits the network; it starts with "
            f"{next(iter(given), None)!r}, where the network has {next(iter(own), None)!r}. Give a "
            "checkpoint of the same network, or leave weights out"
        )
    task.load_state_dict(fitting, strict=False)
    left = [
        *_left_out(own, given),
        *_unused(given, own),
    ]
    said = f"Weights: {len(learnt)} of {len(wanted)} tensors are from {path}"
    rank_zero_info("\n  ".join([said + ("; left out:" if left else ""), *left]))
    return left


def _is_of_parts(name: str) -> bool:
    return name.split(".")[0] in PARTS


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights: there is no file {path}; give the path of a checkpoint")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise InputError(f"weights: {path} cannot be read ({error}); give a checkpoint") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"weights: {path} holds no state dict; give a checkpoint")
    return dict(state)


def _left_out(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """A line for each module of the task some of whose tensors were not filled."""
    modules: dict[str, list[str]] = {}
    for name, tensor in own.items():
        module, _, leaf = name.rpartition(".")
        if tensor.ndim == 0:
            continue
        if name not in given:
            modules.setdefault(module, []).append(f"{leaf} is not in the file")
        elif given[name].shape != tensor.shape:
            there, here = tuple(given[name].shape), tuple(tensor.shape)
            modules.setdefault(module, []).append(f"{leaf} is {there} in the file, {here} here")
    return [f"{module}: {', '.join(leaves)}" for module, leaves in modules.items()]


def _unused(given: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """A line for each module of the file that the task has not."""
    modules = {n.rpartition(".")[0] for n, tensor in given.items() if n not in own and tensor.ndim}
    return [f"{module}: is in the file alone" for module in sorted(modules)]
