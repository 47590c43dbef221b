"""Atomic file writing, where a file is either complete or absent, and file names."""

import errno
import os
import re
import socket
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

# Folder below a dataset's root for statistics that are computed once.
OWN_FOLDER = ".lightning_seg"
# File below a run's folder that marks it as one.
RUN_MARK = f"{OWN_FOLDER}/run"

# Errors of a full or read-only disk, of missing rights, and of paths that cannot exist.
UNWRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
)  # fmt: skip

_DAY = 24 * 60 * 60

# Errors that NumPy raises for a truncated or corrupted ``.npz`` file.
DAMAGED_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, struct.error, zlib.error,
)  # fmt: skip


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of the operating system the name of the file that is being written.

    Errors of files that are already open, such as those of a full disk, name none. Libraries may
    hide them behind errors of their own.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in UNWRITABLE:
                raise OSError(cause.errno, cause.strerror, str(path)) from error
            cause = cause.__cause__ or cause.__context__
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is synced and renamed to ``path`` at the end.

    If the process is killed, ``path`` holds either the old content or the new.

    Raises:
        OSError: The file cannot be written, with its name.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        handle, temporary = tempfile.mkstemp(f"-{path.name}", _prefix(), path.parent)
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


def append(path: Path, text: str) -> None:
    """Append whole lines to a text file: all of them or, if the disk is full, none.

    An incomplete last line, which a killed process left, is removed.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, text.encode())


def partial_path(path: Path) -> Path:
    """Return this process's temporary path for ``path``: in the same folder, with the same suffix.

    Temporary files that killed processes left in the folder are removed.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
    return path.with_name(f"{_prefix()}{path.name}")


@contextmanager
def final_names() -> Iterator[None]:
    """Give errors of the operating system a file's final name instead of its `partial_path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            path = Path(error.filename)
            error.filename = str(path.with_name(path.name.removeprefix(_prefix())))
        raise


def complete(partial: Path, path: Path) -> None:
    """Sync a finished file and rename it to ``path`` atomically."""
    with naming(path):
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


def _append(path: Path, text: bytes) -> None:
    with path.open("a+b", buffering=0) as file:
        file.seek(0)
        end = file.read().rfind(b"\n") + 1
        file.truncate(end)
        written = 0
        try:
            while written < len(text):
                written += file.write(text[written:])
        except OSError:
            file.truncate(end)
            raise


def _prefix() -> str:
    return f".partial-{socket.gethostname()}-{os.getpid()}-"


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of ended processes: of this machine, or older than a day."""
    own = re.compile(rf"\.partial-{re.escape(socket.gethostname())}-(\d+)-.+")
    for path in folder.iterdir():
        if not path.name.startswith(".partial-"):
            continue
        with suppress(OSError):
            here = own.fullmatch(path.name)
            ended = not _runs(int(here[1])) if here else path.stat().st_mtime < time.time() - _DAY
            if ended:
                path.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
