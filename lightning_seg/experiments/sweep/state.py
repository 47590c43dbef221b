"""How far a run is: what its own folder tells, and who may write there."""

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
from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep.plan import Run, Step
from lightning_seg.files import write_atomically

STATE = "sweep.json"
_LOCKS = ".locks"


class RunState:
    """The file ``sweep.json`` of a run's folder: each step that was begun, and when it ended.

    A step counts as finished when its process ended with status 0; a kill at any time leaves it
    begun.
    """

    def __init__(self, run: Run, sweep_dir: Path) -> None:
        self.run = run
        self.folder = sweep_dir / run.name
        path = self.folder / STATE
        try:
            self.steps: dict[str, Any] = json.loads(path.read_text())["steps"]
        except FileNotFoundError:
            self.steps = {}

    def left(self) -> list[Step]:
        """The steps that have not finished."""
        return [step for step in self.run.steps if "ended" not in self.steps.get(step.stage, {})]

    def seconds(self) -> float:
        """What the finished steps took, without what was lost to kills."""
        return float(sum(step.get("seconds", 0.0) for step in self.steps.values()))

    def differences(self) -> str | None:
        """How what was begun here differs from what is asked for now."""
        for step in self.run.steps:
            known = self.steps.get(step.stage)
            if known is None:
                continue
            if told := _difference(known["arguments"], list(step.arguments)):
                return f"{step.stage} {told}"
            for name, digest in config_digests(step.arguments).items():
                if known["files"].get(name, digest) != digest:
                    return f"{step.stage} read {name}, whose content is another now"
        return None

    def begin(self, step: Step) -> bool:
        """Notes that a step starts; returns whether it goes on from a checkpoint.

        What a fit left that has no checkpoint is removed, but for logs.

        Raises:
            InputError: The folder holds what no sweep has put there.
        """
        resume = False
        if step.stage == "fit":
            resume = is_zipfile(self.folder / CHECKPOINTS / "last.ckpt")
            if not self.steps and self.folder.is_dir() and any(self.folder.iterdir()):
                raise InputError(
                    f"{self.folder} holds files, but no {STATE}: it is no run of a sweep. Move it "
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
        """Notes that a step's process has ended with status 0."""
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.steps[step.stage] |= {"ended": ended, "seconds": round(seconds, 3)}
        self._write()

    def _write(self) -> None:
        content = {"labels": dict(self.run.labels), "steps": self.steps}
        write_atomically(self.folder / STATE, json.dumps(content, indent=1) + "\n")

    def _clear(self) -> None:
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != STATE and path.suffix != ".log":
                path.unlink()


def config_digests(words: tuple[str, ...]) -> dict[str, str]:
    """A hash of what each YAML file named by these words says, with the files it names itself.

    Comments and layout do not count.
    """
    found: dict[str, str] = {}
    for word in words:
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
        return  # fit says what is wrong with it
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
    return f"had {' '.join(gone) or 'nothing'} where it would now have {' '.join(new) or 'nothing'}"


def _options(words: list[str]) -> list[str]:
    """Each option with its values as one text."""
    options: list[str] = []
    for word in words:
        if word.startswith("--") or not options:
            options.append(shlex.quote(word))
        else:
            options[-1] += f" {shlex.quote(word)}"
    return options


@contextmanager
def sweep_lock(sweep_dir: Path) -> Iterator[None]:
    """Keeps a second sweep out of the folder; the system takes the lock back from the dead.

    Raises:
        InputError: A sweep is at work there.
    """
    file = locked_file(sweep_dir, "sweep")
    if file is None:
        raise InputError(
            f"{sweep_dir}: another sweep is at work in this folder. Wait for its end, stop it, or "
            "give another --sweep_dir."
        )
    with file:
        yield


def locked_file(sweep_dir: Path, name: str) -> IO[bytes] | None:
    """An open file that holds a lock until it, and all that inherited it, is closed.

    None where another process holds the lock.
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
