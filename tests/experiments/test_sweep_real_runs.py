"""Sweeps of real, tiny trainings; other tests are in test_sweep_running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BASE = f"""\
data:
  class_path: SyntheticDataModule
  init_args:
    root: scenes
    num_train: 1
    num_val: 1
    num_test: 1
    size: 64
    crop_size: 32
    samples_per_epoch: 4
    batch_size: 2
    num_workers: 0
model:
  class_path: SegmentationTask
  init_args:
    network:
      class_path: Unet
      init_args:
        encoder: test_resnet
        decoder_channels: [16, 8]
    optimization: {ROOT}/configs/optimization/adamw_constant.yaml
panels: null
trainer:
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""

# The command itself, without the imports that only the other commands need.
SWEEP = "import sys; from lightning_seg.cli.commands.sweep import run; run(sys.argv[1:])"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Start a sweep of two methods in its own process group."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    processes = []

    def start(*words, command=("-c", SWEEP)):
        methods = (
            *("--overlay", f"cross_entropy={ROOT}/configs/method/cross_entropy.yaml"),
            *("--overlay", f"distance={ROOT}/configs/method/distance_regression.yaml"),
        )
        with Path("said").open("a") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, *command, "--config", "base.yaml", *methods),
                    *("--sweep_dir", "sweep", *words),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:  # a test that fails leaves none
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def epochs(name):
    path = Path("sweep", name, "epochs.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["epoch"] for line in lines]


def kill_after(process, condition):
    deadline = time.monotonic() + 900
    try:
        while not condition():
            assert process.poll() is None, Path("said").read_text()
            assert time.monotonic() < deadline, Path("said").read_text()
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(1800)  # three starts of Python with all libraries, on a machine shared by many
def test_a_killed_sweep_of_trainings_resumes(sweep):
    words = ("--evaluate", "none", "--no-compare", "--", "--trainer.max_epochs", "15")
    kill_after(sweep(*words), lambda: len(epochs("cross_entropy/seed1")) >= 2)
    assert len(epochs("cross_entropy/seed1")) < 15
    assert epochs("distance/seed1") == []
    assert sweep(*words).wait(900) == 0, Path("said").read_text()
    assert epochs("cross_entropy/seed1") == epochs("distance/seed1") == list(range(15))
    said = Path("said").read_text()
    assert "2 runs in sweep: 0 finished, 1 started, 1 new; 1 at a time" in said
    assert "cross_entropy/seed1: fit resumes" in said
    assert "distance/seed1: fit starts" in said


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_methods_with_two_seeds_killed_once_end_in_a_comparison(sweep):
    words = (
        *("--seeds", "1", "2", "--jobs", "2", "--evaluate", "test"),
        *("--", "--trainer.max_epochs", "10"),
    )
    whole = ("-m", "lightning_seg.cli", "sweep")
    names = [f"{method}/seed{seed}" for method in ("cross_entropy", "distance") for seed in (1, 2)]
    process = sweep(*words, command=whole)
    kill_after(process, lambda: all(len(epochs(name)) >= 2 for name in names[::2]))
    assert sweep(*words, command=whole).wait(3000) == 0, Path("said").read_text()
    for name in names:
        assert epochs(name) == list(range(10))
        folder = Path("sweep", name)
        assert json.loads((folder / "test" / "metrics.json").read_text())
        steps = json.loads((folder / "sweep.json").read_text())["steps"]
        assert [name for name, step in steps.items() if "ended" in step] == ["fit", "test"]
    assert list(Path("sweep/comparison").glob("*.html"))
    assert sweep("--no-compare", *words).wait(500) == 0
    assert "4 runs in sweep: 4 finished, 0 started, 0 new; 2 at a time" in Path("said").read_text()
