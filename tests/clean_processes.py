"""Clean processes, without threads, for tests that fork.

A fork takes along the memory of a process, but none of its threads: where a pool of threads has
been used before, the child can wait for ever for threads that are not there. So such tests run in a
process of their own, started from a server that has imported the libraries and done nothing else.
"""

import importlib
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from typing import Any

import pytest

TIMEOUT = 240  # seconds

_clean = get_context("forkserver")
_clean.set_forkserver_preload(["lightning_seg.callbacks", "lightning_seg.tasks", "pytest"])


def in_clean_process(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a clean process, which ends with its forked children after the test.

    Fixtures and parameters are handed over by pickling, so they are made of what modules hold.
    """

    @wraps(test)
    def run(**fixtures: Any) -> None:
        receiver, sender = _clean.Pipe(duplex=False)
        process = _clean.Process(
            target=_run, args=(test.__module__, test.__name__, fixtures, sender)
        )
        process.start()
        sender.close()
        try:
            outcome = receiver.recv() if receiver.poll(TIMEOUT) else f"no end after {TIMEOUT} s"
        except EOFError:
            process.join()
            outcome = f"the process ended with status {process.exitcode}"
        finally:
            _end_group(process.pid)
            process.join()
        if outcome is not None:
            pytest.fail(outcome, pytrace=False)

    return run


def _run(module: str, name: str, fixtures: dict[str, Any], sender: Connection) -> None:
    os.setsid()
    set_start_method("fork", force=True)  # as in any other process, also for loaders' workers
    try:
        getattr(importlib.import_module(module), name).__wrapped__(**fixtures)
    except BaseException:
        sender.send(traceback.format_exc())
    else:
        sender.send(None)


def _end_group(leader: int | None) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
