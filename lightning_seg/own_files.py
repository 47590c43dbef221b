"""Protection of files that this program did not write: they are never replaced."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lightning_seg.errors import InputError
from lightning_seg.files import OWN_FOLDER, complete, naming, write_atomically

# One JSON line for each file written into a folder, below `OWN_FOLDER`.
_WRITTEN = "written.jsonl"


@dataclass
class _Known:
    """What has been read of a folder's record, which only grows."""

    size: int = 0
    runs: dict[tuple[str, str], str | None] = field(default_factory=dict)


_known: dict[Path, _Known] = {}


def refuse_foreign(paths: Iterable[Path], run: Path | None = None) -> None:
    """Raise if one of the files exists and is not our own; call it before the first write.

    A file is our own if its content is what this program last wrote under this name, in this
    folder. Links and folders never are.

    Args:
        paths: The files to be written.
        run: Folder of the run that writes them; the files of another run are refused, too.

    Raises:
        InputError: Names the file.
    """
    known: dict[Path, dict[tuple[str, str], str | None]] = {}
    for path in paths:
        if not os.path.lexists(path):
            continue
        folder = path.parent
        if folder not in known:
            known[folder] = _written(folder)
        key = None if path.is_symlink() or not path.is_file() else (_name(path), _digest(path))
        if key is None or key not in known[folder]:
            raise InputError(
                f"{path} was not written by lightning-seg, or has been changed since, and is "
                "never replaced. Give another folder or name for the output, or move the file away."
            )
        owner = known[folder][key]
        if run is not None and owner is not None and owner != _relative(run, folder):
            raise InputError(
                f"{path} belongs to another run, {os.path.normpath(folder / owner)}, and is not "
                "replaced. Give another folder for the output, or remove the old one."
            )


def write_own(path: Path, content: bytes | str, run: Path | None = None) -> None:
    """Write a file atomically; raise InputError rather than replace one that is not our own."""
    content = content.encode() if isinstance(content, str) else content
    refuse_foreign([path], run)
    _note(path, hashlib.sha256(content).hexdigest(), run)
    write_atomically(path, content)


def complete_own(partial: Path, path: Path, run: Path | None = None) -> None:
    """Rename a finished file to ``path``, with the same protection as `write_own`."""
    refuse_foreign([path], run)
    _note(path, _digest(partial), run)
    complete(partial, path)


def _note(path: Path, digest: str, run: Path | None) -> None:
    """Note a file before it gets its name, so that a kill in between does no harm."""
    record = path.parent / OWN_FOLDER / _WRITTEN
    owner = None if run is None else _relative(run, path.parent)
    # The first line break ends what a full disk has cut off. Appends of processes do not mix.
    line = "\n" + json.dumps({"name": path.name, "sha256": digest, "run": owner}) + "\n"
    with naming(record):
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("ab", buffering=0) as file:
            if file.write(line.encode()) < len(line.encode()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _written(folder: Path) -> dict[tuple[str, str], str | None]:
    """Return the run of each name and content that was written into a folder."""
    record = folder / OWN_FOLDER / _WRITTEN
    known = _known.setdefault(record.absolute(), _Known())
    try:
        with record.open("rb") as file:
            if os.fstat(file.fileno()).st_size < known.size:  # removed and begun again
                known = _known[record.absolute()] = _Known()
            file.seek(known.size)
            lines = file.read()
    except FileNotFoundError:
        _known.pop(record.absolute())
        return {}
    # Another process may be appending a line.
    lines = lines[: lines.rfind(b"\n") + 1]
    known.size += len(lines)
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # cut off by a full disk
            continue
        known.runs[_name(Path(entry["name"])), entry["sha256"]] = entry["run"]
    return known.runs


def _name(path: Path) -> str:
    """Return the name as a file system that ignores case compares it."""
    return path.name.casefold()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _relative(run: Path, folder: Path) -> str:
    """Return the way from a folder to the run's, which stays the same if both are moved."""
    return os.path.relpath(run.resolve(), folder.resolve())
