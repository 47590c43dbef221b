import cv2
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from lightning.pytorch import Trainer, seed_everything

from lightning_seg.data import FolderDataModule


@pytest.fixture
def folder(tmp_path):
    """Seven validation images: two processes get four and three of them."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 7), ("test", 1)):
        for i in range(count):
            mask = np.kron(rng.integers(0, 3, (5, 8)), np.ones((8, 8))).astype(np.uint8)
            image = (80 * mask[..., None] + rng.integers(0, 60, (40, 64, 3))).astype(np.uint8)
            for kind, array in (("images", image), ("masks", mask)):
                path = tmp_path / split / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
    return FolderDataModule(root=tmp_path, num_classes=3, num_workers=0)


def validation_loss(make_task, folder, **trainer):
    seed_everything(0, verbose=False)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", **quiet, **trainer)
    trainer.validate(make_task(), folder, verbose=False)
    return trainer.callback_metrics["val/loss"].item()


@in_clean_process
def test_the_validation_loss_is_the_same_on_any_number_of_processes(make_task, folder):
    torch.set_num_threads(1)  # as in each of several processes
    one = validation_loss(make_task, folder, devices=1)
    two = validation_loss(make_task, folder, devices=2, strategy="ddp_fork")
    assert one == two
