import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from lightning_seg.callbacks import RunRecord
from lightning_seg.callbacks.environment import git_state
from lightning_seg.callbacks.run_record import run_folder


class Regression(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch).square().mean())

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(folder, **kwargs):
    return Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[RunRecord()],
        **kwargs,
    )


def fit(folder, epochs, ckpt_path=None, val_dataloader=None, **kwargs):
    trainer = make_trainer(folder, max_epochs=epochs, **kwargs)
    loader = DataLoader(torch.rand(4, 2), batch_size=2)
    trainer.fit(Regression(), loader, val_dataloader, ckpt_path=ckpt_path)
    trainer.save_checkpoint(folder / "last.ckpt")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_epoch_is_a_line_even_after_resuming(tmp_path):
    fit(tmp_path, 2)
    fit(tmp_path, 3, tmp_path / "last.ckpt")
    epochs = lines(tmp_path / "epochs.jsonl")
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    assert [epoch["step"] for epoch in epochs] == [2, 4, 6]
    assert all(epoch["learning_rate"] == 0.1 and "train/loss" in epoch for epoch in epochs)


def test_every_start_is_recorded(tmp_path):
    fit(tmp_path, 1)
    fit(tmp_path, 2, tmp_path / "last.ckpt")
    starts = lines(tmp_path / "environment.jsonl")
    assert len(starts) == 2
    assert starts[0]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert starts[0]["cpu"]
    assert starts[0]["cpus"] == os.cpu_count()


def test_an_epoch_without_validation_repeats_no_scores(tmp_path):
    loader = DataLoader(torch.rand(4, 2), batch_size=2)
    fit(tmp_path, 3, val_dataloader=loader, check_val_every_n_epoch=2)
    assert ["val/loss" in epoch for epoch in lines(tmp_path / "epochs.jsonl")] == [
        False,
        True,
        False,
    ]


def test_a_given_folder_is_used_by_all_callbacks(tmp_path):
    trainer = Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path / "logs"),
        callbacks=[RunRecord(tmp_path / "run")],
        enable_checkpointing=False,
    )
    assert run_folder(trainer) == tmp_path / "run"


def test_by_default_the_run_folder_is_that_of_the_logger(tmp_path):
    logger = CSVLogger(tmp_path / "logs")
    trainer = Trainer(accelerator="cpu", logger=logger, enable_checkpointing=False)
    assert run_folder(trainer) == Path(logger.log_dir)


def read(path):
    return json.loads(path.read_text())


def test_fit_json_records_seeds_sizes_time_and_memory(tmp_path):
    seed_everything(7, verbose=False)
    fit(tmp_path, 2, val_dataloader=DataLoader(torch.rand(6, 2), batch_size=2))
    record, epochs = read(tmp_path / "fit.json"), lines(tmp_path / "epochs.jsonl")
    assert record["seeds"] == {"seed_everything": 7}
    assert record["parameters"] == {"all": 3, "trained": 3}
    assert (record["epochs"], record["steps"], record["samples"]) == (2, 4, 8)
    seconds, validation = (
        sum(epoch[key] for epoch in epochs) for key in ("seconds", "validation_seconds")
    )
    assert 0 < record["validation_seconds"] == pytest.approx(validation)
    assert record["seconds"] == pytest.approx(seconds)
    assert record["samples_per_second"] == pytest.approx(8 / (seconds - validation), rel=0.01)
    assert 50e6 < record["peak_memory"]["host_bytes"] < 50e9
    assert record["peak_memory"]["device_bytes"] is None  # on the CPU it is the host's
    assert record["command"] == lines(tmp_path / "environment.jsonl")[0]["command"]


def test_a_resumed_fit_is_recorded_in_full(tmp_path):
    fit(tmp_path, 2)
    before = read(tmp_path / "fit.json")
    fit(tmp_path, 3, tmp_path / "last.ckpt")
    record = read(tmp_path / "fit.json")
    assert (record["starts"], record["epochs"], record["samples"]) == (2, 3, 12)
    assert record["seconds"] > before["seconds"]


def test_a_fit_without_an_optimizer_is_recorded(tmp_path):
    class Counts(LightningModule):
        def training_step(self, batch, batch_idx):
            return None

        def configure_optimizers(self):
            return None

    make_trainer(tmp_path, max_epochs=1).fit(Counts(), DataLoader(torch.rand(4, 2)))
    assert lines(tmp_path / "epochs.jsonl")[0]["learning_rate"] is None


def test_frozen_parameters_are_not_counted_as_trained(tmp_path):
    module = Regression()
    module.layer.bias.requires_grad_(False)
    make_trainer(tmp_path, max_epochs=1).fit(module, DataLoader(torch.rand(4, 2), batch_size=2))
    assert read(tmp_path / "fit.json")["parameters"] == {"all": 3, "trained": 2}


def test_each_stage_has_its_own_record(tmp_path):
    fit(tmp_path, 1)
    checkpoint = tmp_path / "checkpoints" / "one.ckpt"
    checkpoint.parent.mkdir()
    (tmp_path / "last.ckpt").rename(checkpoint)
    fitted = (tmp_path / "fit.json").read_bytes()
    loader = DataLoader(torch.rand(5, 2), batch_size=2)
    make_trainer(tmp_path).validate(Regression(), loader, checkpoint, verbose=False)
    validated = (tmp_path / "val" / "record.json").read_bytes()
    make_trainer(tmp_path).test(Regression(), loader, checkpoint, verbose=False)
    assert (tmp_path / "fit.json").read_bytes() == fitted
    assert (tmp_path / "val" / "record.json").read_bytes() == validated
    for stage in ("val", "test"):
        record = read(tmp_path / stage / "record.json")
        assert record["checkpoint"] == "checkpoints/one.ckpt"
        assert record["samples"] == 5
        assert record["seconds"] > 0
        # The seconds are rounded to a thousandth.
        assert 5 / record["samples_per_second"] == pytest.approx(record["seconds"], abs=1e-3)
        assert record["peak_memory"]["host_bytes"] > 50e6


def test_fast_dev_run_writes_nothing(tmp_path):
    make_trainer(tmp_path, fast_dev_run=True).fit(
        Regression(), DataLoader(torch.rand(4, 2), batch_size=2)
    )
    assert list(tmp_path.iterdir()) == []


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_commit_and_local_changes_are_recorded(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "First")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked.txt").touch()
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("a = 2\n")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    # Installed somewhere within another project's checkout.
    (tmp_path / "site-packages").mkdir()
    assert git_state(tmp_path / "site-packages") is None
