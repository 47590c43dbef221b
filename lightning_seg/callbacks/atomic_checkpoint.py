"""Atomic checkpoint writing."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_seg.files import atomic_file


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
