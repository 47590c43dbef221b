"""Atomic file writing, where a file is either complete or absent, and file names."""

import os
import re
import socket
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

# Folder below a dataset's root for statistics that are computed once.
OWN_FOLDER = ".lightning_seg"

# Errors that NumPy raises for a truncated or corrupted ``.npz`` file.
DAMAGED_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, struct.error, zlib.error,
)  # fmt: skip


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is synced and renamed to ``path`` at the end.

    If the process is killed, ``path`` holds either the old content or the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp creates files that only their owner can read; apply the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` atomically, see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def partial_path(path: Path) -> Path:
    """Return this process's temporary path for ``path``: in the same folder, with the same suffix.

    Temporary files that killed processes of this machine left for ``path`` are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".partial-{socket.gethostname()}-"
    pattern = re.compile(re.escape(own) + r"(\d+)-" + re.escape(path.name))
    for other in path.parent.iterdir():
        match = pattern.fullmatch(other.name)
        if match and not _runs_elsewhere(int(match[1])):
            other.unlink(missing_ok=True)
    return path.with_name(f"{own}{os.getpid()}-{path.name}")


def complete(partial: Path, path: Path) -> None:
    """Sync a finished file and rename it to ``path`` atomically."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def file_stem(name: str) -> str:
    """Return a sample's name as a file name; path separators become underscores.

    Example:
        >>> file_stem("val/frame 01")
        'val_frame 01'
    """
    return re.sub(r"[^\w.+ -]+", "_", name).strip("._ ") or "sample"


def _runs_elsewhere(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
