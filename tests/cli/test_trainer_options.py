"""Lightning's own features work with the project's task, as docs/trainer_options.md lists them.

EMA and early stopping are tested in test_monitors.py, the learning-rate finder in
test_learning_rate_finder.py and accumulated gradients in test_exact_resume.py.
"""

from pathlib import Path

import pytest
import torch

from lightning_seg.tasks import SegmentationTask

ROOT = Path(__file__).parents[2]
FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")
CALLBACK = "--trainer.callbacks+=lightning.pytorch.callbacks."


@pytest.fixture
def trained(run):
    """Fit with options; return the last checkpoint, which loads as a task."""

    def call(*options):
        status, _, err = run(*FIT, *options)
        assert status == 0, err
        last = f"{options[-1] if '--run_dir' in options else 'run'}/checkpoints/last.ckpt"
        SegmentationTask.load_from_checkpoint(last)
        return torch.load(last, weights_only=True)

    return call


def test_the_batch_size_finder_plans_a_schedule_for_the_batches_that_it_found(trained):
    found = trained(
        f"{CALLBACK}BatchSizeFinder", "--trainer.callbacks.max_trials=2",
        "--trainer.callbacks.steps_per_trial=1", "--model.optimization",
        f"{ROOT}/configs/optimization/adamw_polynomial.yaml", "--trainer.max_epochs", "3",
    )  # fmt: skip
    assert found["global_step"] == found["planned_steps"] == 3  # 4 images at once, and not 2
    assert found["lr_schedulers"][0]["total_iters"] == 3


def test_gradients_are_accumulated_by_a_schedule(trained):
    checkpoint = trained(
        f"{CALLBACK}GradientAccumulationScheduler",
        "--trainer.callbacks.scheduling={0: 2, 1: 1}",
        "--trainer.max_epochs", "2",
    )  # fmt: skip
    assert checkpoint["global_step"] == 1 + 2


def test_weights_are_averaged_over_the_last_epochs(trained):
    checkpoint = trained(
        f"{CALLBACK}StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.001",
        "--trainer.callbacks.swa_epoch_start=1", "--trainer.max_epochs", "3",
    )  # fmt: skip
    assert checkpoint["callbacks"]["StochasticWeightAveraging"]["n_averaged"] >= 1


def test_gradients_are_clipped(trained):
    plain, clipped = trained(), trained("--trainer.gradient_clip_val", "1e-3", "--run_dir", "clip")
    weights = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (plain, clipped)]
    assert all(clip["exp_avg"].norm() <= 1e-3 for clip in weights[1].values())
    assert any(free["exp_avg"].norm() > 1e-3 for free in weights[0].values())
