"""Parallel execution of a plan, one process per step, resumable after any interruption."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep.plan import Run, Step, launcher, written
from lightning_seg.experiments.sweep.state import RunState, locked_file

_PROMPT = "$ "
_ERROR = re.compile(r"(\[rank\d+\]: )?([\w.]+(Error|Exception)|lightning-seg: error): \S")
_TICK = 0.1
_GRACE = 30.0  # seconds for a stopped run to finish its batch
_PATIENCE = 60.0  # seconds for processes of a killed sweep to end
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Raised after a signal has stopped the sweep.

    Args:
        signal_number: Number of the signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


@dataclass
class _Job:
    """A run in progress: its current step and process."""

    run: Run
    slot: int
    lock: IO[bytes]
    state: RunState
    step: Step
    process: subprocess.Popen[bytes]
    started: float


@dataclass
class _Sweep:
    sweep_dir: Path
    launch: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    say: Callable[[str], None]
    waiting: list[Run]
    total: int
    seconds: list[float]
    running: list[_Job] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    busy_since: dict[str, float] = field(default_factory=dict)

    def start_some(self) -> None:
        """Start runs in the free slots."""
        for run in list(self.waiting):
            slots = set(range(len(self.environments))) - {job.slot for job in self.running}
            if not slots:
                return
            if failed := [name for name in run.needs.values() if name in self.failed]:
                self._fail(run, f"not started, because {failed[0]} failed")
            elif all(name in self.finished for name in run.needs.values()):
                self._start(run, min(slots))

    def _start(self, run: Run, slot: int) -> None:
        lock = locked_file(self.sweep_dir, run.name)
        if lock is None:
            since = self.busy_since.setdefault(run.name, time.monotonic())
            if time.monotonic() - since > _PATIENCE:
                self._fail(run, "not started, because another process is using it")
            return
        self.waiting.remove(run)
        self._next_step(run, slot, lock, RunState(run, self.sweep_dir))

    def _next_step(self, run: Run, slot: int, lock: IO[bytes], state: RunState) -> None:
        """Start the first unfinished step of a run, or finish the run."""
        if not state.left():
            lock.close()
            self.finished.add(run.name)
            self.seconds.append(state.seconds())
            self.say(f"{run.name}: finished in {duration(state.seconds())}; {self._left()}")
            return
        try:
            self.running.append(self._begin(run, slot, lock, state))
        except (InputError, OSError) as error:
            lock.close()
            self._fail(run, str(error))

    def _begin(self, run: Run, slot: int, lock: IO[bytes], state: RunState) -> _Job:
        step = state.left()[0]
        resume = state.begin(step)
        words = run.command(step, self.sweep_dir, resume)
        self.say(f"{run.name}: {step.stage} {'resumes' if resume else 'starts'}")
        with (state.folder / f"{step.stage}.log").open("ab") as log:
            log.write(f"\n{_PROMPT}{written(words)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lightning_seg.experiments.sweep.tied"),
                    *(str(os.getpid()), *self.launch, *words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environments[slot]},
                start_new_session=True,  # so that it receives Ctrl-C only from here, once
                pass_fds=[lock.fileno()],  # locked while any of its processes lives
            )
        return _Job(run, slot, lock, state, step, process, time.monotonic())

    def poll(self) -> None:
        """Handle processes that have ended, and start the next steps of their runs."""
        for job in list(self.running):
            status = job.process.poll()
            if status is None:
                continue
            _kill_group(job.process)
            self.running.remove(job)
            seconds = time.monotonic() - job.started
            if status != 0:
                job.lock.close()
                log = job.state.folder / f"{job.step.stage}.log"
                how = f"status {status}" if status > 0 else signal.Signals(-status).name
                reason = f"{job.step.stage} ended with {how}: {last_words(log)} ({log})"
                self._fail(job.run, reason)
                continue
            job.state.end(job.step, seconds)
            self._next_step(job.run, job.slot, job.lock, job.state)

    def _fail(self, run: Run, why: str) -> None:
        if run in self.waiting:
            self.waiting.remove(run)
        self.failed[run.name] = why
        self.say(f"{run.name}: failed: {why}; {self._left()}")

    def _left(self) -> str:
        left = len(self.waiting) + len(self.running)
        if not left:
            return "no run is left"
        text = f"{left} of {counted(self.total)} left"
        if not self.seconds:
            return text
        mean = sum(self.seconds) / len(self.seconds)
        return f"{text}, about {duration(mean * left / len(self.environments))}"

    def end(self, again: Callable[[], bool]) -> None:
        """Terminate all processes; kill them after a grace period or a second signal."""
        for job in self.running:
            job.process.terminate()
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline and not again():
            if all(job.process.poll() is not None for job in self.running):
                break
            time.sleep(_TICK)
        for job in self.running:
            _kill_group(job.process)
            job.process.wait()
            job.lock.close()


def run_all(
    runs: Sequence[Run],
    sweep_dir: Path,
    environments: Sequence[Mapping[str, str]] = ({},),
    launch: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Run all unfinished runs; a failure only stops the runs that depend on it.

    Args:
        runs: The runs of a plan.
        sweep_dir: Folder of the sweep.
        environments: Extra environment variables of each parallel run; one entry per slot.
        launch: Command that takes ``fit ...`` and ``test ...``; by default this Python's
            lightning-seg.
        say: Called with one line at each start and end.

    Returns:
        The reason of each failure, by the name of the run.

    Raises:
        InputError: If a run in the folder has other settings; nothing is started.
        Stopped: On SIGINT, SIGTERM or SIGHUP, after all processes have ended.
    """
    states = {run.name: RunState(run, sweep_dir) for run in runs}
    refuse_other_commands(states, sweep_dir)
    finished = {name for name, state in states.items() if not state.left()}
    seconds = [states[name].seconds() for name in finished]
    begun = sum(bool(state.steps) for state in states.values()) - len(finished)
    say(
        f"{counted(len(runs))} in {sweep_dir}: {len(finished)} finished, {begun} started, "
        f"{len(runs) - len(finished) - begun} new; {len(environments)} at a time"
    )
    waiting = [run for run in runs if run.name not in finished]
    launch = launcher() if launch is None else launch
    sweep = _Sweep(sweep_dir, launch, environments, say, waiting, len(runs), seconds)
    sweep.finished |= finished
    with _noted_signals() as signals:
        try:
            while sweep.waiting or sweep.running:
                if signals:
                    say(f"Stopping {counted(len(sweep.running))}; a second signal kills")
                    raise Stopped(signals[0])
                sweep.start_some()
                time.sleep(_TICK)
                sweep.poll()
        finally:
            asked = len(signals)
            sweep.end(lambda: len(signals) > asked)
    return sweep.failed


def refuse_other_commands(states: Mapping[str, RunState], sweep_dir: Path) -> None:
    """Raise if the sweep would mix runs with different settings."""
    others = {name: text for name, state in states.items() if (text := state.differences())}
    if others:
        name, text = next(iter(others.items()))
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise InputError(
            f"{sweep_dir / name}{more} has other settings: {text}. Give another --sweep_dir, or "
            "remove the folders of the runs to repeat."
        )


def last_words(log: Path) -> str:
    """Return the error of the last command in a log, or else its last line."""
    try:
        text = log.read_bytes()[-100_000:].decode(errors="replace")
    except OSError:
        return "no log"
    text = text.rpartition(f"{_PROMPT}lightning-seg ")[2]
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    printed = [line for line in lines[1:] if re.search(r"\w", line)] or ["nothing"]
    # torchrun ends with a table of its processes.
    return ([line for line in printed if _ERROR.match(line)] or printed)[-1]


def counted(runs: int) -> str:
    """Format a number of runs."""
    return f"{runs} run" if runs == 1 else f"{runs} runs"


def duration(seconds: float) -> str:
    """Format a duration: ``2 h 05 min``, ``3 min 20 s``, ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Collect stop signals instead of acting on them, except those that nohup ignores."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    heeded = [number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, note) for number in heeded}
    try:
        yield seen
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a process and its children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
