"""Where callbacks write, and how: whole files or none."""

import os
import re
import tempfile
from pathlib import Path

from lightning.pytorch import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The run's folder; every process must call it, since they agree on it together."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes beside ``path`` and renames: readers and kills see the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, 0o666 & ~umask)
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def file_stem(name: str) -> str:
    """A sample's name as one file name: folders become part of it."""
    return re.sub(r"[^\w.+ -]+", "_", name).strip("._ ") or "sample"
