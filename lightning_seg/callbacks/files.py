"""Where callbacks write."""

import re
from pathlib import Path

from lightning.pytorch import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The run's folder; every process must call it, since they agree on it together."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def file_stem(name: str) -> str:
    """A sample's name as one file name: folders become part of it."""
    return re.sub(r"[^\w.+ -]+", "_", name).strip("._ ") or "sample"
