"""Files that are whole or not there."""

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

# Below a dataset's root: what is counted or computed from it once.
OWN_FOLDER = ".lightning_seg"

# What NumPy raises where an ``.npz`` file is cut off or has other bytes than were written.
DAMAGED_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, struct.error, zlib.error,
)  # fmt: skip


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path``, synced and renamed to it at the end: a kill leaves old or new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are private to their owner; these are as readable as any other.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes ``content`` to ``path`` as `atomic_file` does."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def partial_path(path: Path) -> Path:
    """Where to write what is to become ``path``: beside it, with its suffix, this process's own.

    What killed processes of this machine left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".partial-{socket.gethostname()}-"
    pattern = re.compile(re.escape(own) + r"(\d+)-" + re.escape(path.name))
    for other in path.parent.iterdir():
        found = pattern.fullmatch(other.name)
        if found and not _runs_elsewhere(int(found[1])):
            other.unlink(missing_ok=True)
    return path.with_name(f"{own}{os.getpid()}-{path.name}")


def complete(partial: Path, path: Path) -> None:
    """Gives a whole file its name; a kill leaves the old one or the new one."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


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
