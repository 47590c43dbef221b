"""Progress of runs, stored in their folders, and locks on the folders."""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from zipfile import is_zipfile

import yaml

from lightning_seg.checkpoints import CHECKPOINTS
from lightning_seg.config_files import resolve_short_names
from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep.plan import Run, Step
from lightning_seg.files import write_atomically

STATE = "sweep.json"
_LOCKS = ".locks"


class RunState:
    """The file ``sweep.json`` in a run's folder: each started step, and when it ended.

    A step is finished if its process ended with status 0; a killed step stays unfinished.
    """

    def __init__(self, run: Run, sweep_dir: Path) -> None:
        self.run = run
        self.folder = sweep_dir / run.name
        self.steps: dict[str, Any] = {}
        if (path := self.folder / STATE).exists():
            try:
                self.steps = json.loads(path.read_text())["steps"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path} is not of a sweep. Move it away, or give another --sweep_dir."
                ) from error

    def left(self) -> list[Step]:
        """Return the unfinished steps."""
        return [step for step in self.run.steps if "ended" not in self.steps.get(step.stage, {})]

    def seconds(self) -> float:
        """Return the time of the finished steps, without interrupted attempts."""
        return float(sum(step.get("seconds", 0.0) for step in self.steps.values()))

    def differences(self) -> str | None:
        """Describe how the started steps differ from the requested ones; None if they agree."""
        for step in self.run.steps:
            known = self.steps.get(step.stage)
            if known is None:
                continue
            if text := _difference(known["arguments"], list(step.arguments)):
                return f"{step.stage} {text}"
            for name, digest in config_digests(step.arguments).items():
                if known["files"].get(name, digest) != digest:
                    return f"{step.stage} read {name}, which has changed since"
        return None

    def begin(self, step: Step) -> bool:
        """Record the start of a step; return whether it resumes from a checkpoint.

        Files of a fit without a checkpoint are removed, except logs.
        """
        resume = False
        if step.stage == "fit":
            resume = is_zipfile(self.folder / CHECKPOINTS / "last.ckpt")
            if not self.steps and self.folder.is_dir() and any(self.folder.iterdir()):
                raise InputError(
                    f"{self.folder} has files, but no {STATE}: it is not a run of a sweep. Move it "
                    "away, or give another --sweep_dir."
                )
            if not resume:
                self._clear()
        self.steps[step.stage] = {
            "arguments": list(step.arguments),
            "files": config_digests(step.arguments),
        }
        self._write()
        return resume

    def end(self, step: Step, seconds: float) -> None:
        """Record that a step's process ended with status 0."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.steps[step.stage] |= {"ended": ended, "seconds": round(seconds, 3)}
        self._write()

    def _write(self) -> None:
        content = {
            "name": self.run.name,
            "labels": dict(self.run.labels),
            "steps": self.steps,
        }
        write_atomically(self.folder / STATE, json.dumps(content, indent=1) + "\n")

    def _clear(self) -> None:
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != STATE and path.suffix != ".log":
                path.unlink()


def config_digests(words: tuple[str, ...]) -> dict[str, str]:
    """Return hashes of the YAML files named in these arguments, and of the files they include.

    Comments and formatting are ignored.
    """
    found: dict[str, str] = {}
    for word in resolve_short_names(words):
        _add_digest(word.rpartition("=")[2], Path(), found)
    return found


def _add_digest(word: str, folder: Path, found: dict[str, str]) -> None:
    if not word.endswith((".yaml", ".yml")):
        return
    path = next((path for path in (folder / word, Path(word)) if path.is_file()), None)
    if path is None or os.path.normpath(path) in found:
        return
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return  # fit reports the error
    text = json.dumps(content, sort_keys=True, default=str)
    found[os.path.normpath(path)] = hashlib.sha256(text.encode()).hexdigest()[:16]
    for value in _strings(content):
        _add_digest(value, path.parent, found)


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _strings(value)


def _difference(before: list[str], now: list[str]) -> str | None:
    if before == now:
        return None
    was, now_is = _options(before), _options(now)
    gone = [word for word in was if word not in now_is]
    new = [word for word in now_is if word not in was]
    if not gone and not new:
        gone, new = was, now_is
    return f"had {' '.join(gone) or 'nothing'} and would now have {' '.join(new) or 'nothing'}"


def _options(words: list[str]) -> list[str]:
    """Join each option with its values."""
    options: list[str] = []
    for word in words:
        if word.startswith("--") or not options:
            options.append(shlex.quote(word))
        else:
            options[-1] += f" {shlex.quote(word)}"
    return options


@contextmanager
def sweep_lock(sweep_dir: Path) -> Iterator[None]:
    """Lock the folder against a second sweep; the lock ends with the process."""
    file = locked_file(sweep_dir, "sweep")
    if file is None:
        raise InputError(
            f"{sweep_dir}: another sweep is running in this folder. Wait for it, stop it, or "
            "give another --sweep_dir."
        )
    with file:
        yield


def locked_file(sweep_dir: Path, name: str) -> IO[bytes] | None:
    """Return an open file that holds a lock until all its handles are closed.

    Return None if another process holds the lock.
    """
    path = sweep_dir / _LOCKS / name.replace("/", "__")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
