import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")


def epochs():
    path = Path("run/epochs.jsonl")
    return (
        [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )


def test_a_killed_run_resumes_from_its_last_checkpoint(run):
    endless = ("--trainer.max_epochs", "1000")
    command = [sys.executable, "-m", "lightning_seg.cli", *FIT, *endless]
    with Path("log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while len(epochs()) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = epochs()
    assert len(before) >= 3, Path("log").read_text()

    longer = ("--trainer.max_epochs", str(len(before) + 2))
    status, _, err = run(*FIT, "--ckpt_path", "last", *longer)
    assert status == 0, err
    assert epochs() == list(range(len(before) + 2))


def in_two_processes(*arguments):
    """The command in a separate process without threads, so that it can fork."""
    fork = ("--trainer.devices", "2", "--trainer.strategy", "ddp_fork")
    command = [sys.executable, "-m", "lightning_seg.cli", *arguments, *fork]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_two_processes_give_the_same_scores_as_one(run, stage):
    wide = ("--data.fractions", "[0.25, 0.375, 0.375]")  # three images for two processes
    in_two_processes(*FIT, *wide)
    evaluate = (stage, "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last", *wide)
    folder = Path("run", "val" if stage == "validate" else stage)
    status, _, err = run(*evaluate)
    assert status == 0, err
    one = [(folder / name).read_text() for name in ("metrics.json", "per_image.csv")]
    in_two_processes(*evaluate)
    two = [(folder / name).read_text() for name in ("metrics.json", "per_image.csv")]
    assert one == two
