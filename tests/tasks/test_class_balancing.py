"""Class weights from the data, from the first fit to the loaded checkpoint."""

from functools import partial

import cv2
import numpy as np
import pytest
import tiny_task
import torch
from clean_processes import in_clean_process
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightning_seg.data import FolderDataModule
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, MultiTaskHead
from lightning_seg.losses import (
    BoundaryLoss,
    CrossEntropyLoss,
    MapL1Loss,
    SemedaLoss,
    TanimotoLoss,
    WeightedLoss,
)
from lightning_seg.networks import EdgeNetwork, Unet
from lightning_seg.tasks import SegmentationTask

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
TWO_PROCESSES = {"devices": 2, "strategy": "ddp_fork"}


@pytest.fixture
def folder(tmp_path):
    """Four training and two validation images with three classes of unequal area."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            blocks = rng.choice(3, (5, 8), p=[0.7, 0.2, 0.1])
            mask = np.kron(blocks, np.ones((8, 8))).astype(np.uint8)
            image = (80 * mask[..., None] + rng.integers(0, 60, (40, 64, 3))).astype(np.uint8)
            for kind, array in (("images", image), ("masks", mask)):
                path = tmp_path / "data" / split / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array)
    return FolderDataModule(root=tmp_path / "data", num_classes=3, batch_size=2, num_workers=0)


@pytest.fixture
def make_balanced():
    return tiny_task.make_balanced


def weights(task):
    return [loss.class_weights(3).tolist() for loss in task.losses.values()]


def validation_loss(task, data):
    return Trainer(**QUIET).validate(task, data, verbose=False)[0]["val/loss"]


def test_fit_counts_class_weights_from_the_training_labels(make_balanced, folder):
    task = make_balanced()
    Trainer(max_steps=1, **QUIET).fit(task, folder)
    expected = pytest.approx(folder.class_weights("median_frequency"))
    assert weights(task) == [expected, expected]


def test_a_checkpoint_gives_the_same_validation_loss_without_counting(
    make_balanced, folder, tmp_path
):
    task = make_balanced()
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(task, folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    expected = validation_loss(task, folder)
    loader = DataLoader([folder.datasets["val"][i] for i in range(2)], batch_size=1)
    loaded = SegmentationTask.load_from_checkpoint(tmp_path / "task.ckpt")
    assert validation_loss(loaded, loader) == expected
    fresh, tester = make_balanced(), Trainer(**QUIET)
    options = {"ckpt_path": tmp_path / "task.ckpt", "weights_only": False, "verbose": False}
    assert tester.test(fresh, loader, **options)[0]["test/loss"] == expected


def test_a_resumed_run_keeps_its_class_weights(make_balanced, folder, tmp_path):
    trainer = Trainer(max_epochs=1, **QUIET)
    task = make_balanced()
    trainer.fit(task, folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    cv2.imwrite(str(folder.pairs("train")[0].label), np.full((40, 64), 2, np.uint8))
    resumed = make_balanced()
    Trainer(max_epochs=2, **QUIET).fit(
        resumed, folder, ckpt_path=tmp_path / "task.ckpt", weights_only=False
    )
    assert weights(resumed) == weights(task)
    assert weights(resumed)[0] != pytest.approx(folder.class_weights("median_frequency"))


def test_a_new_fit_counts_its_own_training_labels(make_balanced, folder):
    task = make_balanced()
    Trainer(max_steps=1, **QUIET).fit(task, folder)
    cv2.imwrite(str(folder.pairs("train")[0].label), np.full((40, 64), 2, np.uint8))
    Trainer(max_steps=1, **QUIET).fit(task, folder)
    assert weights(task)[0] == pytest.approx(folder.class_weights("median_frequency"))


class CountedOnce(FolderDataModule):
    """Counts correctly only in the first process."""

    def class_weights(self, balance):
        return super().class_weights(balance) if self.trainer.is_global_zero else None


class SameWeights(Callback):
    def on_train_start(self, trainer, pl_module):
        (first, *_) = (loss.class_weights(3) for loss in pl_module.losses.values())
        everywhere = pl_module.all_gather(first)
        assert len(everywhere) == 2
        assert torch.equal(everywhere[0], everywhere[1])


@in_clean_process
def test_every_process_gets_the_weights_counted_by_the_first(make_balanced, folder):
    data = CountedOnce(root=folder.root, num_classes=3, batch_size=2, num_workers=0)
    trainer = Trainer(max_steps=1, callbacks=[SameWeights()], **QUIET, **TWO_PROCESSES)
    trainer.fit(make_balanced(), data)
    assert "train/loss" in trainer.callback_metrics


@in_clean_process
def test_unreadable_labels_stop_every_process(make_balanced, folder):
    cv2.imwrite(str(folder.pairs("train")[1].label), np.full((40, 64), 7, np.uint8))
    data = CountedOnce(root=folder.root, num_classes=3, batch_size=2, num_workers=0)
    with pytest.raises(Exception, match=r"1\.png: label value 7"):
        Trainer(max_steps=1, **QUIET, **TWO_PROCESSES).fit(make_balanced(), data)


class LoadersAlone(LightningDataModule):
    num_classes = 3

    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def train_dataloader(self):
        return DataLoader(self.samples, batch_size=2)


class WithWeights(LoadersAlone):
    def class_weights(self, balance):
        return torch.tensor([1.0, 2.0, 4.0 if balance == "median_frequency" else 0.0])


def test_data_without_class_weights_suggests_what_to_do(make_balanced, samples, loader):
    with pytest.raises(InputError, match=r"there is no DataModule.*Give the weights as numbers"):
        Trainer(max_steps=1, **QUIET).fit(make_balanced(), loader(batch_size=2))
    with pytest.raises(InputError, match="LoadersAlone has no method class_weights"):
        Trainer(max_steps=1, **QUIET).fit(make_balanced(), LoadersAlone(samples))


def test_any_datamodule_can_provide_class_weights(make_balanced, samples):
    task = make_balanced()
    Trainer(max_steps=1, **QUIET).fit(task, WithWeights(samples))
    assert weights(task) == [[1.0, 2.0, 4.0]] * 2


def test_weights_of_a_checkpoint_are_used_where_the_data_has_none(make_balanced, samples, tmp_path):
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(make_balanced(), WithWeights(samples))
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    task = SegmentationTask.load_from_checkpoint(tmp_path / "task.ckpt")
    Trainer(max_steps=1, **QUIET).fit(task, LoadersAlone(samples))
    assert weights(task) == [[1.0, 2.0, 4.0]] * 2


def test_unreadable_labels_stop_the_fit(make_balanced, folder):
    cv2.imwrite(str(folder.pairs("train")[1].label), np.full((40, 64), 7, np.uint8))
    with pytest.raises(InputError, match=r"1\.png: label value 7"):
        Trainer(max_steps=1, **QUIET).fit(make_balanced(), folder)


class Sum(nn.Module):
    """A sum of two losses."""

    def __init__(self):
        super().__init__()
        self.terms = nn.ModuleList(CrossEntropyLoss(class_weights=b) for b in BALANCES)

    def forward(self, logits, mask):
        return sum(term(logits, mask) for term in self.terms)


BALANCES = ("median_frequency", "inverse_frequency")


def test_nested_losses_get_class_weights_too(make_task, samples):
    task = make_task({"sum": WeightedLoss(Sum())})
    Trainer(max_steps=1, **QUIET).fit(task, WithWeights(samples))
    (loss,) = task.losses.values()
    assert [t.class_weights(3).tolist() for t in loss.terms] == [[1, 2, 4], [1, 2, 0]]


def test_tanimoto_takes_the_volumes_of_all_training_labels(make_task, folder, tmp_path):
    def make():
        return make_task(
            {"tanimoto": WeightedLoss(TanimotoLoss(class_weights="inverse_frequency"))}
        )

    task = make()
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(task, folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    masks = np.stack([cv2.imread(str(p), 0) for p in (folder.root / "train/masks").iterdir()])
    expected = masks.size / (3 * np.bincount(masks.ravel()))
    assert weights(task) == [pytest.approx(expected)]
    loaded = make()
    loaded.on_load_checkpoint(torch.load(tmp_path / "task.ckpt", weights_only=False))
    assert weights(loaded) == weights(task)


def test_validation_before_any_fit_reports_unknown_weights(make_balanced, loader):
    with pytest.raises(InputError, match="whose weights are not known yet"):
        Trainer(**QUIET).validate(make_balanced(), loader(batch_size=1), verbose=False)


def test_weights_of_the_wrong_number_are_refused_before_training(make_task):
    losses = {"balanced": WeightedLoss(CrossEntropyLoss(class_weights=[1.0] * 4))}
    with pytest.raises(InputError, match="holds 4 weights, but there are 3 classes"):
        make_task(losses)


class Uncounted(FolderDataModule):
    def class_weights(self, balance):
        raise AssertionError("counted labels that nobody needs")


def test_resuming_does_not_count_labels_again(make_balanced, folder, tmp_path):
    trainer = Trainer(max_epochs=1, **QUIET)
    task = make_balanced()
    trainer.fit(task, folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    data = Uncounted(root=folder.root, num_classes=3, batch_size=2, num_workers=0)
    resumed = make_balanced()
    Trainer(max_epochs=2, **QUIET).fit(
        resumed, data, ckpt_path=tmp_path / "task.ckpt", weights_only=False
    )
    assert weights(resumed) == weights(task)


def resumed_from(path, task, data):
    trainer = Trainer(max_epochs=2, **QUIET)
    trainer.fit(task, data, ckpt_path=path, weights_only=False)
    return task


def test_resuming_with_another_balance_counts_the_labels(make_balanced, folder, tmp_path):
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(make_balanced("median_frequency"), folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    resumed = resumed_from(tmp_path / "task.ckpt", make_balanced("inverse_frequency"), folder)
    expected = pytest.approx(folder.class_weights("inverse_frequency"))
    assert weights(resumed) == [expected, expected]
    assert folder.class_weights("median_frequency") != expected


def test_checkpoints_without_a_named_balance_keep_their_weights(make_balanced, folder, tmp_path):
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(make_balanced(), folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    checkpoint = torch.load(tmp_path / "task.ckpt", weights_only=False)
    known = checkpoint["class_weights"]
    assert {balance for balance, _ in known.values()} == {"median_frequency"}
    checkpoint["class_weights"] = {path: [1.0, 2.0, 3.0] for path in known}
    torch.save(checkpoint, tmp_path / "old.ckpt")
    resumed = resumed_from(tmp_path / "old.ckpt", make_balanced(), folder)
    assert weights(resumed) == [[1.0, 2.0, 3.0]] * 2


def test_resuming_from_a_run_without_weights_counts_them(
    make_task, make_balanced, folder, tmp_path
):
    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(make_task(), folder)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    resumed = make_balanced()
    Trainer(max_epochs=2, **QUIET).fit(
        resumed, folder, ckpt_path=tmp_path / "task.ckpt", weights_only=False
    )
    assert weights(resumed)[0] == pytest.approx(folder.class_weights("median_frequency"))


class OneTooMany(LoadersAlone):
    def class_weights(self, balance):
        return [1.0, 2.0, 3.0, 4.0]

    def train_dataloader(self):
        raise AssertionError("data was read")


def test_too_many_class_weights_are_refused_before_data_is_read(make_balanced, samples):
    message = (
        r"OneTooMany\.class_weights\('median_frequency'\) returned 4 weights, but .* has 3 classes"
    )
    with pytest.raises(InputError, match=message):
        Trainer(max_steps=1, **QUIET).fit(make_balanced(), OneTooMany(samples))


def test_weights_of_the_wrong_number_for_a_map_are_refused_before_training(make_task):
    losses = {
        "cross_entropy": WeightedLoss(CrossEntropyLoss()),
        "distance": WeightedLoss(MapL1Loss(class_weights=[1.0] * 4), prediction="distance"),
    }
    with pytest.raises(InputError, match="holds 4 weights, but there are 3 classes"):
        make_task(losses)


def test_a_regressed_map_takes_one_weight_per_channel():
    def make(number):
        losses = {
            "classes": WeightedLoss(CrossEntropyLoss(class_weights=[1.0] * 4)),
            "color": WeightedLoss(MapL1Loss(class_weights=[1.0] * number), prediction="color"),
        }
        network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
        return SegmentationTask(4, 3, network, partial(MultiTaskHead, channels=4), losses)

    make(3)
    with pytest.raises(InputError, match="holds 4 weights, but there are 3 classes"):
        make(4)


def test_a_loss_on_nonexistent_classes_is_refused_before_training(make_task):
    losses = {"boundary": WeightedLoss(BoundaryLoss(classes=[3]))}
    with pytest.raises(InputError, match="there are 3 classes: labels 0 to 2"):
        make_task(losses)


def test_an_edge_network_for_other_classes_is_refused_before_training(make_task):
    losses = {"semeda": WeightedLoss(SemedaLoss(EdgeNetwork(4)))}
    with pytest.raises(InputError, match="trained for 4 classes, but there are 3 here"):
        make_task(losses)


class OfManyChannels(ClassificationHead):
    """A third-party head with an attribute that many heads have."""

    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.channels = 32


def test_a_head_may_define_its_own_channels_of(make_task):
    make_task({"balanced": WeightedLoss(CrossEntropyLoss([1.0] * 3))}, head=OfManyChannels)


def test_an_error_about_weights_names_the_term_and_channels_of(make_task):
    losses = {"balanced": WeightedLoss(CrossEntropyLoss([1.0] * 4))}
    message = r"losses\.balanced: .*holds 4 weights.*OfManyChannels\.channels_of\('logits'\) is 3"
    with pytest.raises(InputError, match=message):
        make_task(losses, head=OfManyChannels)
