"""Frozen batch normalisation in our task and in other modules."""

import copy
import os

import pytest
import torch
from clean_processes import in_clean_process
from foreign_modules import Base, K, loader, trainer
from torch import nn

from lightning_seg.callbacks import FrozenBatchNorm
from lightning_seg.data import SyntheticDataModule
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Normed(Base):
    """Two convolutions with batch normalisation, validated after every epoch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(K, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.decoder = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.net = nn.Sequential(self.encoder, self.decoder, nn.Conv2d(8, K, 1))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, weight_decay=0.1)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.loss(batch))


class CallsTrain(Normed):
    def on_train_epoch_start(self):
        self.train()


def fit(module, folder, callback=None, ckpt_path=None, **kwargs):
    callbacks = [callback] if callback else []
    settings = {"max_epochs": 2, "limit_train_batches": 3} | kwargs
    t = trainer(folder, *callbacks, **settings)
    t.fit(module, loader(6), loader(2), ckpt_path=ckpt_path)
    return t


def changed(module, before):
    """Return the names of tensors that are not identical."""
    return {
        name
        for name, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[name])
    }


def state(module):
    return copy.deepcopy(module.state_dict())


def of_norm(name, affine=True):
    leaves = (*STATISTICS, "weight", "bias") if affine else STATISTICS
    return {f"{name}.1.{leaf}" for leaf in leaves}


@pytest.mark.parametrize("made", [Normed, CallsTrain])
def test_without_the_callback_statistics_change(made, tmp_path):
    module = made()
    before = state(module)
    fit(module, tmp_path)
    assert changed(module, before) == set(before)


@pytest.mark.parametrize("made", [Normed, CallsTrain])
@pytest.mark.parametrize("affine", [False, True])
def test_statistics_stay_fixed_and_other_parameters_train(made, affine, tmp_path):
    module = made()
    before = state(module)
    fit(module, tmp_path, FrozenBatchNorm(affine=affine))
    kept = {
        name for part in ("encoder", "decoder", "net.0", "net.1") for name in of_norm(part, affine)
    }
    assert changed(module, before) == set(before) - kept


def test_it_can_freeze_only_the_encoder(tmp_path):
    module = Normed()
    before = state(module)
    fit(module, tmp_path, FrozenBatchNorm(modules=["encoder"]))
    assert changed(module, before) == set(before) - of_norm("encoder") - of_norm("net.0")


def test_training_uses_the_running_statistics(tmp_path):
    seen = []

    class Looks(Normed):
        def training_step(self, batch, batch_idx):
            norm = self.encoder[1]
            x = torch.randn(2, 8, 4, 4)
            expected = (x - 3) / (4 + norm.eps) ** 0.5
            torch.testing.assert_close(norm(x), expected)
            seen.append((norm.training, self.decoder.training))
            return super().training_step(batch, batch_idx)

    module = Looks()
    module.encoder[1].running_mean.fill_(3)
    module.encoder[1].running_var.fill_(4)
    fit(module, tmp_path, FrozenBatchNorm(["encoder"]))
    assert seen == [(False, True)] * 6


def test_after_the_fit_requires_grad_is_restored(tmp_path):
    module = Normed()
    fit(module, tmp_path, FrozenBatchNorm())
    assert all(m.training for m in module.modules() if isinstance(m, nn.BatchNorm2d))
    assert all(p.requires_grad for p in module.parameters())


def test_parameters_frozen_elsewhere_stay_frozen(tmp_path):
    module = Normed()
    module.encoder[1].requires_grad_(False)
    fit(module, tmp_path, FrozenBatchNorm())
    assert not module.encoder[1].weight.requires_grad
    assert module.decoder[1].weight.requires_grad


def test_a_resumed_run_stays_frozen(tmp_path):
    module = Normed()
    t = fit(module, tmp_path, FrozenBatchNorm(), max_epochs=1)
    t.save_checkpoint(tmp_path / "run.ckpt")
    resumed = Normed()
    with torch.no_grad():
        resumed.encoder[1].running_mean.fill_(7)  # to be read from the checkpoint
    fit(resumed, tmp_path, FrozenBatchNorm(), ckpt_path=tmp_path / "run.ckpt", max_epochs=3)
    after = resumed.state_dict()
    for name in of_norm("encoder") | of_norm("decoder"):
        assert torch.equal(after[name], module.state_dict()[name]), name
    assert not torch.equal(after["encoder.0.weight"], module.state_dict()["encoder.0.weight"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore")
@in_clean_process
def test_it_works_on_two_processes(tmp_path):
    module = Normed()
    before = state(module)
    fit(module, tmp_path, FrozenBatchNorm(["encoder"]), devices=2, strategy="ddp_fork")
    assert changed(module, before) == set(before) - of_norm("encoder") - of_norm("net.0")


def test_the_segmentation_task_keeps_its_encoders_statistics(tmp_path):
    def network(in_channels):
        return Unet(in_channels, encoder="test_resnet", decoder_channels=(16, 8))

    task = SegmentationTask(
        6, 3, network, ClassificationHead, {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    )
    data = SyntheticDataModule(
        tmp_path / "data", 2, 2, 1, size=64, crop_size=64, samples_per_epoch=4, batch_size=2,
        num_workers=0,
    )  # fmt: skip
    before = state(task)
    t = trainer(tmp_path, FrozenBatchNorm(["network.encoder"]), limit_train_batches=2)
    t.fit(task, data)
    names = {name for name, module in task.named_modules() if isinstance(module, nn.BatchNorm2d)}
    moved = {name.rpartition(".")[0] for name in changed(task, before)}
    encoders = {name for name in names if name.startswith("network.encoder.")}
    assert encoders
    assert moved & names == names - encoders


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["encodre"], "names 'encodre', but Normed has no such module. Did you mean 'encoder'"),
        (["encoder.0"], r"no batch normalisation in 'encoder\.0' of Normed"),
    ],
)
def test_a_path_without_batch_normalisation_is_refused(modules, message, tmp_path):
    with pytest.raises(InputError, match=message):
        fit(Normed(), tmp_path, FrozenBatchNorm(modules))


def test_a_module_without_batch_normalisation_is_refused(tmp_path):
    with pytest.raises(InputError, match="no batch normalisation in 'the module' of Base"):
        fit(Base(), tmp_path, FrozenBatchNorm())


def test_batch_normalisation_without_statistics_is_refused(tmp_path):
    module = Normed()
    module.decoder[1] = nn.BatchNorm2d(8, track_running_stats=False)
    with pytest.raises(InputError, match=r"'net\.1\.1' keeps no running statistics"):
        fit(module, tmp_path, FrozenBatchNorm())


@pytest.mark.parametrize("modules", [[], "encoder"])
def test_modules_must_be_a_list(modules):
    with pytest.raises(InputError, match="expected a list of one or more paths"):
        FrozenBatchNorm(modules)


def test_validation_and_test_are_unchanged(tmp_path):
    module, callback = Normed(), FrozenBatchNorm(["no.such.module"])
    trainer(tmp_path, callback).validate(module, loader(2), verbose=False)
