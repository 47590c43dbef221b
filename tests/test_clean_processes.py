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
def test_a_clean_process_has_one_thread():
    assert threading.active_count() == 1
    assert not TASKS.is_dir() or len(list(TASKS.iterdir())) == 1


def test_a_failure_in_the_clean_process_fails_the_test():
    with pytest.raises(pytest.fail.Exception, match="assert number == 4"):
        fails(number=5)


def test_a_process_that_exits_fails_the_test():
    with pytest.raises(pytest.fail.Exception, match="status 3"):
        ends()
