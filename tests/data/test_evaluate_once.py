from collections import Counter

import albumentations as A
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from PIL import Image
from torch import nn

from lightning_seg.callbacks import PredictionPanels
from lightning_seg.data import FolderDataModule
from lightning_seg.errors import InputError

SAMPLES = 7


class Recorder(pl.LightningModule):
    """Writes the name of every sample to a file of its process."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))

    def record(self, stage, batch):
        with (self.folder / f"{stage}-{self.global_rank}").open("a") as file:
            file.writelines(f"{name}\n" for name in batch["name"])
        return self.net(batch["image"])

    def training_step(self, batch, _):
        return self.record("train", batch).mean()

    def validation_step(self, batch, _):
        if not self.trainer.sanity_checking:
            self.record("val", batch)

    def test_step(self, batch, batch_idx):
        self.record("test", batch)

    def predict_step(self, batch, _):
        assert "mask" not in batch
        self.record("predict", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Scores(pl.LightningModule):
    """Returns the image's first two channels as scores."""

    def test_step(self, batch, batch_idx):
        return {"logits": batch["image"][:, :2], "mask": batch["mask"]}


def make_folder(root, sizes=(8,)):
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
            for index in range(SAMPLES):
                array = np.full((8, sizes[index % len(sizes)]), index % 2, np.uint8)
                Image.fromarray(array).save(root / split / kind / f"{index}.png")
    return root


@pytest.mark.parametrize(
    ("eval_batch_size", "sizes"),
    # Of unequal sizes, one process has two batches and the other three.
    [(1, (8,)), (2, (8,)), (2, (8, 9, 8, 8))],
)
@in_clean_process
def test_two_processes_evaluate_every_sample_exactly_once(tmp_path, eval_batch_size, sizes):
    data = FolderDataModule(
        make_folder(tmp_path / "data", sizes),
        num_classes=2,
        train_transforms=[A.RandomCrop(8, 8)],
        batch_size=2,
        eval_batch_size=eval_batch_size,
        num_workers=0,
    )
    for run in ("fit", "validate", "test", "predict"):
        (tmp_path / run).mkdir()
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp_fork",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        getattr(trainer, run)(Recorder(tmp_path / run), datamodule=data)
        split = {"fit": "val", "validate": "val"}.get(run, run)
        shares = [(tmp_path / run / f"{split}-{rank}").read_text().split() for rank in (0, 1)]
        assert Counter(shares[0] + shares[1]) == {str(index): 1 for index in range(SAMPLES)}
        assert [len(share) for share in shares] == [4, 3]
    trained = [(tmp_path / "fit" / f"train-{rank}").read_text().split() for rank in (0, 1)]
    assert [len(share) for share in trained] == [4, 4]
    assert set(trained[0] + trained[1]) == {str(index) for index in range(SAMPLES)}


def test_pictures_are_spread_over_all_samples_of_larger_batches(tmp_path):
    data = FolderDataModule(
        make_folder(tmp_path / "data"), num_classes=2, eval_batch_size=4, num_workers=0
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
        callbacks=PredictionPanels(num_images=SAMPLES),
    )
    trainer.test(Scores(), datamodule=data)
    assert len(list((tmp_path / "pictures" / "test").iterdir())) == SAMPLES


def test_fewer_samples_than_processes_are_refused(tmp_path, monkeypatch):
    data = FolderDataModule(make_folder(tmp_path), num_classes=2)
    data.setup("test")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 8)
    with pytest.raises(InputError, match=r"7 sample\(s\).*8 processes.*trainer\.devices=7"):
        data.test_dataloader()
