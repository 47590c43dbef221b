"""Initialisation of a task from a checkpoint, where names and shapes match."""

from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_seg.checkpoints import check_finite, read_tensors
from lightning_seg.errors import InputError

PARTS = ("network", "head", "auxiliary_head")


def load_matching_weights(
    task: nn.Module, path: str | Path, weights_only: bool = True
) -> list[str]:
    """Load matching weights of network and heads from a checkpoint, and log what is left out.

    A tensor matches if the file has one with the same name and shape. With another number of
    classes the classifier does not match; with another number of bands the first convolution does
    not. These keep their initialisation. Losses, optimiser and schedule are not loaded.

    Args:
        task: A task with ``network`` and ``head``.
        path: A checkpoint of a `SegmentationTask`, a state dict saved with ``torch.save``, or a
            ``model.safetensors`` of `SegmentationTask.save_pretrained`.
        weights_only: Refuse Python objects, which could run code; False only for trusted files.

    Returns:
        One line for each module of the task or the file that was left out.
    """
    given = {name: t for name, t in _read(Path(path), weights_only).items() if _is_of_parts(name)}
    own = {name: tensor for name, tensor in task.state_dict().items() if _is_of_parts(name)}
    fitting = {name: t for name, t in given.items() if name in own and t.shape == own[name].shape}
    # Counters of batch normalisation match any network, so they do not count as a match.
    learnt = [name for name, tensor in fitting.items() if tensor.ndim > 0]
    wanted = [name for name, tensor in own.items() if tensor.ndim > 0]
    if not any(name.startswith("network.") for name in learnt):
        raise InputError(
            f"weights: no tensor of {path} matches the network; its first is "
            f"{next(iter(given), None)!r}, the network's {next(iter(own), None)!r}. Give a "
            "checkpoint of the same network, or leave weights out"
        )
    check_finite(fitting, path)
    task.load_state_dict(fitting, strict=False)
    left = [
        *_left_out(own, given),
        *_unused(given, own),
    ]
    summary = f"Weights: {len(learnt)} of {len(wanted)} tensors loaded from {path}"
    rank_zero_info("\n  ".join([summary + ("; left out:" if left else ""), *left]))
    return left


def _is_of_parts(name: str) -> bool:
    return name.split(".")[0] in PARTS


def _read(path: Path, weights_only: bool) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"weights: there is no file {path}; give the path of a checkpoint")
    content = read_tensors(path, weights_only)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"weights: {path} holds no state dict; give a checkpoint")
    return dict(state)


def _left_out(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Return one line for each module of the task with tensors that were not loaded."""
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
    """Return one line for each module that only the file has."""
    modules = {n.rpartition(".")[0] for n, tensor in given.items() if n not in own and tensor.ndim}
    return [f"{module}: only in the file" for module in sorted(modules)]
