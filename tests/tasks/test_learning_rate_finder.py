from functools import partial

import pytest
import tiny_task
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.optim.lr_scheduler import MultiStepLR, PolynomialLR

from lightning_seg.tasks import Optimization, SegmentationTask

ADAM = partial(torch.optim.Adam, lr=1e-6)
FACTORS = {"network.encoder": 0.1}


class FirstRates(Callback):
    """Records the learning rates of the first step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 0:
            self.rates = [group["lr"] for group in trainer.optimizers[0].param_groups]


@pytest.fixture
def trainer(tmp_path):
    def make(*callbacks, **kwargs):
        return Trainer(
            **{"max_epochs": 1} | kwargs,
            default_root_dir=tmp_path,
            callbacks=list(callbacks),
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )

    return make


def finder():
    return LearningRateFinder(min_lr=1e-5, max_lr=1.0, num_training_steps=30)


def test_lightnings_finder_works_on_the_task(make_task, loader, trainer):
    task = make_task(optimization=Optimization(ADAM))
    weights = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    actual = Tuner(trainer(max_epochs=-1)).lr_find(
        task, loader(batch_size=2), min_lr=1e-5, max_lr=1.0, num_training=30
    )
    assert task.lr == actual.suggestion()
    assert 1e-5 < task.lr < 1.0
    # It leaves no other trace.
    assert all(torch.equal(tensor, weights[name]) for name, tensor in task.state_dict().items())


def test_a_fit_starts_at_the_suggested_rate(make_task, loader, trainer):
    callback, first = finder(), FirstRates()
    task = make_task(optimization=Optimization(ADAM, lr_factors=FACTORS))
    trainer(callback, first, max_epochs=10).fit(task, loader(batch_size=2))
    actual = callback.optimal_lr.suggestion()
    assert task.lr == actual
    assert sorted(first.rates) == [pytest.approx(0.1 * actual), pytest.approx(actual)]


@pytest.mark.parametrize(
    "schedule",
    [
        {"epoch_schedule": partial(MultiStepLR, milestones=[1], gamma=1.0)},
        {"step_schedule": partial(PolynomialLR, power=0.0)},
        {"step_schedule": lambda optimizer, steps: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0
        )},
    ],
    ids=["epochs", "steps", "by its base"],
)  # fmt: skip
def test_a_schedule_starts_from_the_suggested_rate(make_task, loader, trainer, schedule):
    callback = finder()
    task = make_task(optimization=Optimization(ADAM, lr_factors=FACTORS, **schedule))
    fit = trainer(callback, max_epochs=10)
    fit.fit(task, loader(batch_size=2))
    rates = sorted(group["lr"] for group in fit.optimizers[0].param_groups)
    actual = callback.optimal_lr.suggestion()
    assert rates == [pytest.approx(0.1 * actual), pytest.approx(actual)]


class BalancedData(LightningDataModule):
    """Training batches, and class weights as if counted from their labels."""

    def __init__(self, loader):
        super().__init__()
        self.loader = loader
        self.asked = []

    def train_dataloader(self):
        return self.loader(batch_size=2)

    def val_dataloader(self):
        return self.loader(batch_size=1)

    def class_weights(self, balance):
        self.asked.append(balance)
        return [1.0, 2.0, 4.0]


def test_the_finder_weighs_classes_by_the_name_of_a_balance(loader, trainer):
    data, task = BalancedData(loader), tiny_task.make_balanced()
    found = Tuner(trainer(max_epochs=-1)).lr_find(
        task, datamodule=data, min_lr=1e-5, max_lr=1.0, num_training=30
    )
    assert task.lr == found.suggestion()
    assert data.asked == ["median_frequency"]


@pytest.mark.parametrize("num_sanity_val_steps", [0, 1])
def test_a_fit_that_finds_its_rate_counts_the_balance_once(loader, trainer, num_sanity_val_steps):
    data, task, callback = BalancedData(loader), tiny_task.make_balanced(), finder()
    fit = trainer(callback, max_epochs=10, num_sanity_val_steps=num_sanity_val_steps)
    fit.fit(task, datamodule=data)
    assert task.lr == callback.optimal_lr.suggestion()
    assert data.asked == ["median_frequency"]
    assert task.losses["cross_entropy"].class_weights(3).tolist() == [1.0, 2.0, 4.0]


def test_lr_overrides_the_rate_of_the_optimiser(make_task, loader, trainer):
    first = FirstRates()
    task = make_task(optimization=Optimization(ADAM, lr_factors=FACTORS, lr=0.01))
    trainer(first, max_steps=1).fit(task, loader(batch_size=2))
    assert sorted(first.rates) == [pytest.approx(0.001), pytest.approx(0.01)]


def test_a_checkpoint_from_before_the_lr_option_trains(make_task, loader, trainer, tmp_path):
    fit = trainer(max_steps=1)
    fit.fit(make_task(optimization=Optimization(ADAM)), loader(batch_size=2))
    fit.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=False)
    del checkpoint["hyper_parameters"]["optimization"].__dict__["lr"]
    torch.save(checkpoint, tmp_path / "a.ckpt")
    task = SegmentationTask.load_from_checkpoint(tmp_path / "a.ckpt")
    first = FirstRates()
    trainer(first, max_steps=1).fit(task, loader(batch_size=2))
    assert first.rates == [1e-6]
