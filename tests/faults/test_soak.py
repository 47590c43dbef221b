"""The short form of ``make soak``."""

import os
import time

import kills
import soak
from clean_processes import in_clean_process


@in_clean_process
def test_rounds_of_commands_leave_no_files_threads_or_memory_behind(tmp_path):
    os.chdir(tmp_path)
    kills.prepare(tmp_path)
    begun, rounds = time.monotonic(), []
    for _ in range(4):
        soak.round_of_commands()
        rounds.append(soak.held(begun))
    second, last = rounds[1], rounds[-1]
    assert last.files <= second.files
    assert last.threads <= second.threads
    assert last.memory < second.memory * 1.03


def test_growth_is_told():
    flat = [soak.Held(n, 1000, 11, 2) for n in range(9)]
    assert soak.grown(flat) == []
    leaking = [soak.Held(n, 1000 + 20 * n, 11 + n // 3, 2) for n in range(9)]
    assert soak.grown(leaking) == ["memory grew from 1080 to 1140", "files grew from 12 to 13"]
