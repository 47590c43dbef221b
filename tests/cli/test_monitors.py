"""Watched values, and the optimiser of a resumed run."""

import json
from pathlib import Path

import pytest
import torch

from lightning_seg.score_names import mode_of

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")
EARLY = "--trainer.callbacks+=EarlyStopping"


def epochs():
    return [json.loads(line) for line in Path("run/epochs.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "name", "pick"),
    [
        (("--best_by", "val/loss"), "val/loss", min),
        (("--best_by", "val/loss", "--best_mode", "max"), "val/loss", max),
        (("--boundary_metrics", "null"), "val/loss", min),
    ],
)
def test_the_best_checkpoint_is_the_one_with_the_best_value(run, options, name, pick):
    status, _, err = run(*FIT, "--trainer.max_epochs", "3", *options)
    assert status == 0, err
    values = [epoch[name] for epoch in epochs()]
    best = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    assert values[best["epoch"]] == pick(values)


def test_the_mode_follows_the_name():
    small = ("val/loss", "val/surface_distance", "val/hausdorff_95", "val/mae")
    assert {mode_of(name) for name in small} == {"min"}
    assert {mode_of(name) for name in ("val/boundary_iou", "val/f1", "val/edge_f1")} == {"max"}


@pytest.mark.parametrize(
    "options",
    [
        ("--best_by", "val/iuo"),
        (EARLY, "--trainer.callbacks.monitor=val/iuo"),
        ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/iuo"),
    ],
)  # fmt: skip
def test_a_name_that_is_never_logged_is_found_before_the_first_epoch(refused, options):
    message = refused(*FIT, *options)
    assert "watches 'val/iuo', which is never logged. Logged are, e.g., val/iou" in message
    assert not Path("run/epochs.jsonl").exists()


def test_names_that_are_logged_pass(run):
    watched = (EARLY, "--trainer.callbacks.monitor=val/trimap_iou_3px")
    status, _, err = run(*FIT, "--best_by", "val/boundary_f", *watched)
    assert status == 0, err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--model.optimization.lr", "0.5"), "with lr 0.001, but this command asks for 0.5"),
        (("--model.optimization.optimizer", "SGD"), "AdamW, but this command asks for SGD"),
    ],
)  # fmt: skip
def test_a_resumed_run_says_that_it_keeps_its_optimiser(run, refused, options, expected):
    status, _, err = run(*FIT)
    assert status == 0, err
    resumed = (*FIT, "--ckpt_path", "last", "--trainer.max_epochs", "2")
    assert expected in refused(*resumed, *options)
    status, _, err = run(*resumed)
    assert status == 0, err


def test_a_resumed_run_says_that_it_keeps_its_schedule(run, refused):
    plateau = "torch.optim.lr_scheduler.ReduceLROnPlateau"
    scheduled = (*FIT, "--model.optimization.epoch_schedule", plateau)
    status, _, err = run(*scheduled, "--model.optimization.epoch_schedule.patience=3")
    assert status == 0, err
    resumed = (*scheduled, "--ckpt_path", "last", "--trainer.max_epochs", "2")
    message = refused(*resumed, "--model.optimization.epoch_schedule.patience=4")
    assert "trained with schedule.patience 3, but this command asks for 4" in message
    status, _, err = run(*resumed, "--model.optimization.epoch_schedule.patience=3")
    assert status == 0, err


def test_the_configuration_of_a_run_with_averaged_weights_can_be_fitted_again(run):
    average = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"
    assert run(*FIT, average)[0] == 0
    status, _, err = run("fit", "--config", "run/config.yaml", "--run_dir", "again")
    assert status == 0, err
