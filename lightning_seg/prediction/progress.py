"""Record of images that the same model with the same settings has already predicted."""

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
from lightning_seg.data.reading.tiff import files_of
from lightning_seg.files import write_atomically

_FOLDER = ".finished"
_VERSION = 3
# Attributes of every module, which are not settings.
_MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))


class Progress:
    """Notes beside the predictions, one for each image whose files are complete.

    Args:
        folder: Folder of the predictions.
        settings_hash: Hash of all that predictions depend on besides the image, see
            `settings_hash`.
    """

    def __init__(self, folder: Path, settings_hash: str) -> None:
        self._folder = folder
        self._settings_hash = settings_hash

    def note(self, stem: str, key: str, files: Sequence[Path]) -> None:
        """Note an image as finished; ``key`` is its key when its prediction began."""
        content = {"key": key, "files": [file.name for file in files]}
        write_atomically(self._note(stem), json.dumps(content))

    def forget(self, stem: str) -> None:
        """Remove the note of an image that is about to be predicted."""
        self._note(stem).unlink(missing_ok=True)

    def holds(self, stem: str, key: str) -> bool:
        """Return whether an image with this key is finished and its files exist."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self._note(stem).read_text(encoding="utf-8"))
            exist = all((self._folder / name).is_file() for name in content["files"])
            return exist and content["key"] == key
        return False

    def key(self, pair: Pair) -> str:
        """Return a hash of the image files' paths, sizes and times, and of the settings."""
        files = [*files_of(pair.image), *_georeferences(pair.image)]
        files += [] if pair.extra is None else files_of(pair.extra)
        stats = [(file.resolve(), file.stat()) for file in files]
        states = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        return hashlib.sha256(repr((_VERSION, self._settings_hash, states)).encode()).hexdigest()

    def _note(self, stem: str) -> Path:
        return self._folder / _FOLDER / f"{stem}.json"


def _georeferences(image: Path) -> list[Path]:
    """Return the files beside an image that may georeference it."""
    paths = (image.with_suffix(suffix) for suffix in (".tfw", ".tifw", ".prj"))
    return [path for path in paths if path.is_file()]


def settings_hash(module: nn.Module, *settings: object) -> str:
    """Return a hash of a module's weights, buffers and settings, and of further settings.

    Further settings are compared by their ``repr``.
    """
    digest = hashlib.sha256(repr((settings, list(settings_of(module)))).encode())
    # Normalisation constants are non-persistent buffers, which the state dict lacks.
    tensors = module.state_dict() | dict(module.named_buffers())
    for name, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor):
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def settings_of(module: nn.Module) -> Iterator[tuple[object, ...]]:
    """Yield the class and the plain attributes of every submodule, such as a dilation."""
    for name, part in module.named_modules():
        yield name, _name(type(part))
        if isinstance(part, LightningModule | Metric):  # their attributes change during a run
            continue
        for key, value in sorted(vars(part).items()):
            if isinstance(value, FunctionType | BuiltinFunctionType | type):
                yield name, key, _name(value)
            elif key not in _MODULE_ATTRIBUTES and _is_plain(value):
                yield name, key, repr(value)


def _is_plain(value: object) -> bool:
    """Return whether ``repr(value)`` is complete and the same in every process."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return all(_is_plain(getattr(value, field.name)) for field in fields(value))
    return value is None or isinstance(value, bool | int | float | str | Path)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
