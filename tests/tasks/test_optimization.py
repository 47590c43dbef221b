import copy
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from lightning_seg.errors import InputError
from lightning_seg.tasks import Optimization, SegmentationTask

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
SGD = partial(torch.optim.SGD, lr=0.1)


def rates(trainer):
    return [group["lr"] for group in trainer.optimizers[0].param_groups]


def test_a_step_schedule_reaches_its_end_with_the_run(make_task, loader):
    schedule = lambda optimizer, steps: PolynomialLR(optimizer, steps, power=1.0)  # noqa: E731
    task = make_task(optimization=Optimization(SGD, step_schedule=schedule))
    trainer = Trainer(max_epochs=2, **QUIET)
    trainer.fit(task, loader(batch_size=2))
    assert trainer.global_step == 6
    assert rates(trainer) == [pytest.approx(0.0)]


def test_an_epoch_schedule_steps_once_an_epoch(make_task, loader):
    schedule = partial(MultiStepLR, milestones=[2], gamma=0.1)
    task = make_task(optimization=Optimization(SGD, epoch_schedule=schedule))
    trainer = Trainer(max_epochs=2, **QUIET)
    trainer.fit(task, loader(batch_size=2))
    assert rates(trainer) == [pytest.approx(0.01)]


def test_a_plateau_schedule_follows_its_monitor(make_task, loader):
    schedule = partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5)  # losses sink
    task = make_task(optimization=Optimization(SGD, epoch_schedule=schedule, monitor="train/loss"))
    trainer = Trainer(max_epochs=4, **QUIET)
    trainer.fit(task, loader(batch_size=5))
    assert rates(trainer)[0] < 0.1


def test_a_plateau_schedule_waits_for_validations(make_task, loader):
    schedule = partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.5)  # losses sink
    task = make_task(optimization=Optimization(SGD, epoch_schedule=schedule))
    trainer = Trainer(max_epochs=6, check_val_every_n_epoch=3, **QUIET)
    trainer.fit(task, loader(batch_size=5), loader(batch_size=1))
    assert rates(trainer)[0] in (0.1, 0.05)  # at most one step: there were two validations


def test_the_longest_matching_path_sets_the_learning_rate_factor(make_task, loader):
    factors = {"network": 0.5, "network.encoder": 0.1}
    task = make_task(optimization=Optimization(SGD, lr_factors=factors))
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(task, loader(batch_size=2))
    assert sorted(rates(trainer)) == [
        pytest.approx(0.01),
        pytest.approx(0.05),
        pytest.approx(0.1),
    ]
    sizes = sum(len(group["params"]) for group in trainer.optimizers[0].param_groups)
    assert sizes == len(list(task.parameters()))


def test_a_learning_rate_factor_without_parameters_is_refused(make_task, loader):
    task = make_task(optimization=Optimization(SGD, lr_factors={"encoder": 0.1}))
    with pytest.raises(InputError, match=r"\['encoder'\].*network, head"):
        Trainer(max_steps=1, **QUIET).fit(task, loader(batch_size=2))


def test_two_schedules_are_refused():
    with pytest.raises(InputError, match="give one of them"):
        Optimization(
            SGD, step_schedule=PolynomialLR, epoch_schedule=partial(MultiStepLR, milestones=[1])
        )


def test_the_default_is_adamw(make_task, loader):
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(make_task(), loader(batch_size=2))
    assert type(trainer.optimizers[0]) is torch.optim.AdamW
    assert rates(trainer) == [1e-3]
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.01


def saved(task, loader, tmp_path):
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(task, loader(batch_size=2))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_a_checkpoint_stores_partials_and_functions(make_task, loader, tmp_path):
    schedule = partial(MultiStepLR, milestones=[2])
    path = saved(
        make_task(optimization=Optimization(SGD, epoch_schedule=schedule)), loader, tmp_path
    )
    optimization = SegmentationTask.load_from_checkpoint(path).optimization
    assert optimization.optimizer.func is torch.optim.SGD
    assert optimization.epoch_schedule.keywords == {"milestones": [2]}


@pytest.mark.filterwarnings("error:Attribute 'optimization' removed")
def test_a_lambda_missing_from_a_checkpoint_is_reported_when_needed(
    make_task, loader, samples, tmp_path
):
    schedule = lambda optimizer, steps: PolynomialLR(optimizer, steps)  # noqa: E731
    task = make_task(optimization=Optimization(SGD, step_schedule=schedule))
    path = saved(task, loader, tmp_path)
    assert task.optimization.step_schedule is schedule
    loaded = SegmentationTask.load_from_checkpoint(path)
    assert loaded.eval()(samples[0]["image"][None])["logits"].shape == (1, 3, 40, 64)
    with pytest.raises(InputError, match=r"could not store the step_schedule.*functools\.partial"):
        Trainer(max_steps=1, **QUIET).fit(loaded, loader(batch_size=2))
    given = SegmentationTask.load_from_checkpoint(path, optimization=Optimization(SGD))
    Trainer(max_steps=1, **QUIET).fit(given, loader(batch_size=2))


def test_a_copy_keeps_its_lambdas():
    optimization = Optimization(lambda groups: torch.optim.SGD(groups, lr=0.1))
    assert copy.deepcopy(optimization).optimizer is optimization.optimizer


def warmed_up(optimizer, epochs):
    parts = [ConstantLR(optimizer), CosineAnnealingLR(optimizer, epochs)]
    return SequentialLR(optimizer, parts, milestones=[1])


@pytest.mark.parametrize(
    ("before", "after", "setting"),
    [
        (partial(CosineAnnealingLR, T_max=5), partial(CosineAnnealingLR, T_max=9), "T_max 5"),
        (
            partial(MultiStepLR, milestones=[4, 2]),
            partial(MultiStepLR, milestones=[4]),
            r"milestones \[2, 4\]",
        ),
        (partial(warmed_up, epochs=5), partial(warmed_up, epochs=9), "T_max 5"),
    ],
)
def test_an_epoch_schedule_of_another_length_is_not_dropped_on_resume(
    make_task, loader, tmp_path, before, after, setting
):
    task = make_task(optimization=Optimization(SGD, epoch_schedule=before))
    path = saved(task, loader, tmp_path)

    def resume(schedule):
        resumed = make_task(optimization=Optimization(SGD, epoch_schedule=schedule))
        Trainer(max_steps=2, **QUIET).fit(
            resumed, loader(batch_size=2), ckpt_path=path, weights_only=False
        )

    resume(before)
    with pytest.raises(InputError, match=rf"trained with schedule\S*\.{setting}, but"):
        resume(after)
