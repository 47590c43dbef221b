import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from PIL import Image

from lightning_seg.data import FolderDataModule


class Recorder(pl.LightningModule):
    """Keeps the first batch of every epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        if batch_idx == 0:
            self.seen.append(batch["image"])
        return self.weight * batch["image"].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for index in range(8):
            array = np.full((8, 8), index if kind == "images" else 0, np.uint8)
            Image.fromarray(array).save(tmp_path / kind / f"{index}.png")
    return tmp_path


def make(folder, num_workers):
    shares = (0.75, 0.125, 0.125)
    return FolderDataModule(
        folder, num_classes=2, fractions=shares, batch_size=6, num_workers=num_workers
    )


def fit(folder, epochs, num_workers, checkpoint=None):
    pl.seed_everything(0, workers=True)
    task = Recorder()
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        limit_val_batches=0,
    )
    trainer.fit(task, datamodule=make(folder, num_workers), ckpt_path=checkpoint)
    trainer.save_checkpoint(folder / "last.ckpt")
    return task.seen


@pytest.mark.parametrize("num_workers", [0, 1])
@in_clean_process
def test_a_resumed_training_does_not_repeat_the_first_epoch(folder, num_workers):
    first = fit(folder, 1, num_workers)
    torch.testing.assert_close(fit(folder, 1, num_workers), first)
    fit(folder, 3, num_workers)
    (resumed,) = fit(folder, 4, num_workers, folder / "last.ckpt")
    assert not torch.equal(resumed, first[0])
