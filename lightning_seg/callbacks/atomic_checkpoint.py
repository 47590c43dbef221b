"""Checkpoints that are whole or not there."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_seg.files import atomic_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target, syncs it and renames it over the target.

    Lightning writes to the system's temporary folder first; where that is another file system, the
    move is a copy and a kill in the middle leaves a truncated checkpoint. Pass it to the Trainer as
    a plugin; it serves local paths and leaves others (``s3://``) to Lightning's own way.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes ``checkpoint`` to ``path``; a kill leaves the old file or the new one."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_file(Path(path)) as file:
            torch.save(checkpoint, file)
