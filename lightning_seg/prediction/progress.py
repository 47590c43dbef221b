"""Which images have been predicted already, by the same model in the same way."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import Metric

from lightning_seg.data.reading.pairs import Pair
from lightning_seg.files import write_atomically

_FOLDER = ".finished"
_VERSION = 2
# What every module has, and no setting is.
_EVERY_MODULES = frozenset(vars(nn.Module()))


class Progress:
    """A note beside the predictions for each image whose files are whole.

    Args:
        folder: Where the predictions are.
        settings_hash: All that they depend on besides the image: see `settings_hash`.
    """

    def __init__(self, folder: Path, settings_hash: str) -> None:
        self._folder = folder
        self._settings_hash = settings_hash

    def note(self, stem: str, key: str, files: Sequence[Path]) -> None:
        """Notes an image as finished; the key is that of the image when it was begun."""
        found = {"key": key, "files": [file.name for file in files]}
        write_atomically(self._note(stem), json.dumps(found))

    def forget(self, stem: str) -> None:
        """Removes the note of an image that is about to be predicted."""
        self._note(stem).unlink(missing_ok=True)

    def holds(self, stem: str, key: str) -> bool:
        """Whether an image of this key is finished, and its files are there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._note(stem).read_text(encoding="utf-8"))
            there = all((self._folder / name).is_file() for name in found["files"])
            return there and found["key"] == key
        return False

    def key(self, pair: Pair) -> str:
        """Stands for the image as it is now and the way in which it is predicted."""
        files = [pair.image] if pair.extra is None else [pair.image, pair.extra]
        files += [path for path in _places(pair.image) if path.is_file()]
        states = [(file.resolve(), file.stat()) for file in files]
        found = [(path, state.st_size, state.st_mtime_ns) for path, state in states]
        described = (_VERSION, self._settings_hash, found)
        return hashlib.sha256(repr(described).encode()).hexdigest()

    def _note(self, stem: str) -> Path:
        return self._folder / _FOLDER / f"{stem}.json"


def _places(image: Path) -> list[Path]:
    """Files beside an image that can say where it lies."""
    return [*(image.with_suffix(s) for s in (".tfw", ".tifw", ".prj")), Path(f"{image}.aux.xml")]


def settings_hash(module: nn.Module, *settings: object) -> str:
    """Stands for a module's weights, buffers and settings, and for settings that print alike."""
    digest = hashlib.sha256(repr((settings, list(settings_of(module)))).encode())
    # Means and deviations that images are normalised with are no part of a state dict.
    tensors = module.state_dict() | dict(module.named_buffers())
    for name, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor):
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def settings_of(module: nn.Module) -> Iterator[tuple[object, ...]]:
    """Class and settings of every part, such as dilation or a way of resizing."""
    for name, part in module.named_modules():
        yield name, _name(type(part))
        if isinstance(part, LightningModule | Metric):  # these note how far they are
            continue
        for key, value in sorted(vars(part).items()):
            if isinstance(value, FunctionType | BuiltinFunctionType | type):
                yield name, key, _name(value)
            elif key not in _EVERY_MODULES and _is_plain(value):
                yield name, key, repr(value)


def _is_plain(value: object) -> bool:
    """Whether it prints in full, and alike in every process."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(one) for key, one in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, field.name)) for field in fields(value))
    return value is None or isinstance(value, bool | int | float | str | Path)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
