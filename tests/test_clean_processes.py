import os
import threading
from pathlib import Path

import pytest
from clean_processes import in_clean_process

TASKS = Path("/proc/self/task")


@in_clean_process
def fails(number):
    assert number == 4


@in_clean_process
def ends():
    os._exit(3)


@in_clean_process
def test_no_thread_was_started_before():
    assert threading.active_count() == 1
    assert not TASKS.is_dir() or len(list(TASKS.iterdir())) == 1


def test_a_failure_there_is_a_failure_here():
    with pytest.raises(pytest.fail.Exception, match="assert number == 4"):
        fails(number=5)


def test_a_process_that_ends_is_a_failure():
    with pytest.raises(pytest.fail.Exception, match="status 3"):
        ends()
