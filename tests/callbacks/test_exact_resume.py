import random

import albumentations as A
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from PIL import Image
from torch import nn
from torch.multiprocessing import ProcessExitedException
from torch.optim.lr_scheduler import PolynomialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from lightning_seg.callbacks import ExactResume, RunRecord
from lightning_seg.callbacks.run_record import read_lines
from lightning_seg.data import FolderDataModule

# Each epoch has six batches on one process, three on two; validation follows the last.
EPOCHS = 4


class Killed(BaseException):
    pass


class Killer(pl.Callback):
    """Ends training at the n-th call of a hook."""

    def __init__(self, hook, calls):
        self.calls = calls
        setattr(self, hook, self._count)

    def _count(self, *_):
        self.calls -= 1
        if not self.calls:
            raise Killed


class Net(pl.LightningModule):
    """Draws random numbers in dropout, in NumPy and in Python."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule
        layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
        self.net = nn.Sequential(*layers, nn.Conv2d(4, 2, 1))

    def loss(self, batch):
        return nn.functional.cross_entropy(self.net(batch["image"]), batch["mask"][:, 1:-1, 1:-1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch) * (1 + random.random() + np.random.rand())  # noqa: NPY002

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.loss(batch), batch_size=1, sync_dist=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        if self.schedule == "step":
            steps = self.trainer.estimated_stepping_batches
            schedule = {"scheduler": PolynomialLR(optimizer, steps), "interval": "step"}
        elif self.schedule == "plateau":
            plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1.0)
            schedule = {"scheduler": plateau, "monitor": "val/loss"}
        else:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": schedule}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for index in range(16):
        mask = (rng.random((10, 10)) > 0.5).astype(np.uint8)
        image = (80 * mask[..., None] + rng.integers(0, 60, (10, 10, 3))).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def data(folder, workers):
    return FolderDataModule(
        folder,
        num_classes=2,
        fractions=(0.75, 0.25, 0.0),
        batch_size=2,
        num_workers=workers,
        train_transforms=[A.HorizontalFlip(), A.RandomBrightnessContrast(p=1.0)],
    )


def fit(run, datamodule, schedule=None, kill=None, every=None, averaged=False, **trainer):
    """Trains from the last checkpoint in ``run``, if there is one, to the end or to a kill."""
    last = run / "last.ckpt"
    pl.seed_everything(0, workers=True, verbose=False)
    if last.exists():
        torch.rand(7), np.random.rand(7), random.random()  # noqa: NPY002
    saved = (
        {"every_n_train_steps": every, "save_top_k": -1, "save_last": True, "filename": "{step}"}
        if every
        else {"filename": "last", "save_on_train_epoch_end": True}
    )
    checkpoint = ModelCheckpoint(run, **saved, enable_version_counter=False)
    callbacks = [ExactResume(), RunRecord(run), checkpoint]
    callbacks += [EMAWeightAveraging(decay=0.9)] if averaged else []
    callbacks += [Killer(*kill)] if kill else []
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **trainer,
    )
    resumed = {"ckpt_path": last, "weights_only": False} if last.exists() else {}
    try:
        trainer.fit(Net(schedule), datamodule=datamodule, **resumed)
    except (Killed, ProcessExitedException):
        assert kill


def learnt(run):
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "random_states", "global_step")
    return {key: plain(checkpoint[key]) for key in keys}


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def record(run):
    timed = ("seconds", "validation_seconds")
    epochs = read_lines(run / "epochs.jsonl")
    return [{key: value for key, value in e.items() if key not in timed} for e in epochs]


def check(folder, kills, workers=0, make=data, **options):
    whole, parts = folder / "whole", folder / "parts"
    fit(whole, make(folder, workers), **options)
    for kill in (*kills, None):
        fit(parts, make(folder, workers), kill=kill, **options)
    assert len(record(whole)) == EPOCHS
    assert learnt(parts) == learnt(whole)
    assert record(parts) == record(whole)


@pytest.mark.parametrize("schedule", [None, "step", "plateau"])
def test_a_run_resumed_at_the_end_of_an_epoch_is_the_uninterrupted_one(folder, schedule):
    check(folder, [("on_train_batch_end", 9), ("on_validation_start", 1)], schedule=schedule)


@pytest.mark.parametrize("schedule", [None, "step", "plateau"])
@pytest.mark.parametrize("batches", [4, 6, 7])  # within an epoch, before validation, at the start
def test_a_run_resumed_within_an_epoch_is_the_uninterrupted_one(folder, schedule, batches):
    kills = [("on_train_batch_start", batches + 1), ("on_validation_start", 2)]
    check(folder, kills, schedule=schedule, every=1)


@pytest.mark.parametrize(
    "options",
    [
        {"averaged": True, "every": 1},
        {"accumulate_grad_batches": 4, "every": 1},
        {"val_check_interval": 2, "schedule": "plateau", "every": 1},
        {"check_val_every_n_epoch": 2, "every": 1},
        {"max_steps": 6 * EPOCHS, "schedule": "plateau"},
        {"max_steps": 6 * EPOCHS, "every": 1},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_resumed_run_is_the_uninterrupted_one_whatever_the_trainer_does(folder, options):
    kills = [("on_train_batch_start", 7), ("on_validation_start", 2), ("on_train_epoch_end", 1)]
    check(folder, kills, **options)


@in_clean_process
def test_a_resumed_run_with_workers_is_the_uninterrupted_one(folder):
    check(folder, [("on_train_batch_start", 9), ("on_validation_start", 2)], workers=2, every=1)


@in_clean_process
def test_the_number_of_workers_changes_nothing(folder):
    for workers in (0, 1, 2):
        fit(folder / str(workers), data(folder, workers))
    assert learnt(folder / "0") == learnt(folder / "1") == learnt(folder / "2")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("every", [None, 1])
@in_clean_process
def test_a_resumed_run_on_two_processes_is_the_uninterrupted_one(folder, workers, every):
    torch.set_num_threads(1)
    kills = [("on_train_batch_start", 5), ("on_validation_start", 2)]
    two = {"devices": 2, "strategy": "ddp_fork"}
    check(folder, kills, workers, every=every, schedule="plateau", **two)


class Plain(pl.LightningDataModule):
    """Another project's data: order and noise come from the global random states."""

    def setup(self, stage):
        def collate(samples):
            images, masks = (torch.stack(parts) for parts in zip(*samples, strict=True))
            return {"image": images + torch.rand(images.shape), "mask": masks}

        images = torch.rand(12, 3, 10, 10, generator=torch.Generator().manual_seed(0))
        self.samples = TensorDataset(images, images[:, 0].round().long())
        self.collate = collate

    def train_dataloader(self):
        return DataLoader(self.samples, batch_size=2, shuffle=True, collate_fn=self.collate)

    def val_dataloader(self):
        return DataLoader(self.samples, batch_size=1, collate_fn=self.collate)


def test_a_foreign_datamodule_is_resumed_at_the_end_of_an_epoch(folder):
    kills = [("on_train_batch_end", 9), ("on_validation_start", 1)]
    check(folder, kills, make=lambda *_: Plain())
