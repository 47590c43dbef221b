"""Atomic checkpoint writing, and reading that runs no code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_seg.checkpoints import read_checkpoint, read_tensors
from lightning_seg.files import atomic_file

_HANDED_OVER = ".temp.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin that writes beside the target, syncs, and renames over the target.

    Lightning first writes to the system's temporary folder. If that is on another file system, the
    move is a copy, and a kill in the middle leaves a truncated checkpoint. Pass this plugin to the
    Trainer. It handles local paths; Lightning handles remote ones (``s3://``).
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; if killed, the old file stays intact."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_file(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Return a checked checkpoint on the CPU; code in it runs only with ``weights_only=False``.

        Raises:
            InputError: See `read_checkpoint`.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only is not False)
        # Processes that Lightning has started hand over their weights alone.
        read = read_tensors if Path(path).name == _HANDED_OVER else read_checkpoint
        return read(path, weights_only is not False)
