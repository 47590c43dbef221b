"""The short form of ``make faults``."""

import random

import kills
import pytest


@pytest.mark.parametrize("way", ["one process", "two processes with workers, plateaus"])
@pytest.mark.timeout(3 * kills.LIMIT)
def test_a_run_that_is_killed_at_random_times_ends_like_an_uninterrupted_one(
    tmp_path, monkeypatch, way
):
    monkeypatch.chdir(tmp_path)
    kills.prepare(tmp_path)
    sent, equal = kills.kill_and_resume(kills.WAYS[way], 2, random.Random(way))
    assert len(sent) == 2
    assert equal
