"""Which images have been predicted already, by the same model in the same way."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from lightning_seg.files import write_atomically

_FOLDER = ".finished"
_VERSION = 1


class FinishedImages:
    """A note beside the predictions for each image whose files are whole.

    Args:
        folder: Where the predictions are.
        way: All that they depend on besides the image: see `fingerprint`.
    """

    def __init__(self, folder: Path, way: str) -> None:
        self._folder = folder
        self._way = way

    def note(self, stem: str, image: Path, files: Sequence[Path]) -> None:
        """Notes an image as finished."""
        found = {"key": self._key(image), "files": [file.name for file in files]}
        write_atomically(self._note(stem), json.dumps(found))

    def forget(self, stem: str) -> None:
        """Removes the note of an image that is about to be predicted."""
        self._note(stem).unlink(missing_ok=True)

    def holds(self, stem: str, image: Path) -> bool:
        """Whether the image is finished, has not changed since, and its files are there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._note(stem).read_text(encoding="utf-8"))
            there = all((self._folder / name).is_file() for name in found["files"])
            return there and found["key"] == self._key(image)
        return False

    def _note(self, stem: str) -> Path:
        return self._folder / _FOLDER / f"{stem}.json"

    def _key(self, image: Path) -> str:
        status = image.stat()
        described = (_VERSION, self._way, image.resolve(), status.st_size, status.st_mtime_ns)
        return hashlib.sha256(repr(described).encode()).hexdigest()


def fingerprint(module: nn.Module, *settings: object) -> str:
    """Stands for a module's weights and for settings that describe themselves."""
    digest = hashlib.sha256(repr(settings).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
