import json
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from lightning_seg.callbacks import RunRecord
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

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, epochs, ckpt_path=None, val_dataloader=None, **kwargs):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[RunRecord()],
        **kwargs,
    )
    loader = DataLoader(torch.rand(4, 2), batch_size=2)
    trainer.fit(Regression(), loader, val_dataloader, ckpt_path=ckpt_path)
    trainer.save_checkpoint(folder / "last.ckpt")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_epoch_is_a_line_also_after_a_resume(tmp_path):
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


def test_an_epoch_without_validation_repeats_no_figures(tmp_path):
    loader = DataLoader(torch.rand(4, 2), batch_size=2)
    fit(tmp_path, 3, val_dataloader=loader, check_val_every_n_epoch=2)
    assert ["val/loss" in epoch for epoch in lines(tmp_path / "epochs.jsonl")] == [
        False,
        True,
        False,
    ]


def test_a_named_folder_is_the_runs_for_all_callbacks(tmp_path):
    trainer = Trainer(
        accelerator="cpu",
        logger=CSVLogger(tmp_path / "logs"),
        callbacks=[RunRecord(tmp_path / "run")],
        enable_checkpointing=False,
    )
    assert run_folder(trainer) == tmp_path / "run"


def test_without_one_the_loggers_folder_is_the_runs(tmp_path):
    logger = CSVLogger(tmp_path / "logs")
    trainer = Trainer(accelerator="cpu", logger=logger, enable_checkpointing=False)
    assert run_folder(trainer) == Path(logger.log_dir)
