"""Tasks initialised from another task's checkpoint."""

import logging
from functools import partial

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import ResUNetA, Unet
from lightning_seg.tasks import SegmentationTask
from lightning_seg.tasks.fine_tuning import load_matching_weights

UNET = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))


def made(num_classes=3, in_channels=3, head=ClassificationHead, network=UNET, **options):
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    return SegmentationTask(num_classes, in_channels, network, head, losses, **options)


@pytest.fixture
def source(tmp_path):
    """A task of 3 classes and its checkpoint."""
    torch.manual_seed(1)
    task = made()
    for name, buffer in task.network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    task.class_names = ("road", "building", "tree")
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "source.ckpt")
    return task, str(tmp_path / "source.ckpt")


def test_the_same_model_loads_completely(source):
    task, path = source
    other = made()
    assert load_matching_weights(other, path) == []
    for name, tensor in task.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_with_other_classes_all_but_the_classifier_loads(source):
    task, path = source
    torch.manual_seed(2)
    other = made(num_classes=5)
    before = other.head.classifier.weight.clone()
    assert load_matching_weights(other, path) == [
        "head.classifier: weight is (3, 8, 3, 3) in the file, (5, 8, 3, 3) here, "
        "bias is (3,) in the file, (5,) here"
    ]
    for name, tensor in task.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[name], tensor), name
    assert torch.equal(other.head.classifier.weight, before)


def test_with_other_input_channels_all_but_the_first_convolution_loads(source):
    left = load_matching_weights(made(in_channels=4), source[1])
    assert left == [
        "network.encoder.model.conv1.0: weight is (16, 3, 3, 3) in the file, (16, 4, 3, 3) here"
    ]


def test_with_another_head_the_tensors_left_out_on_both_sides_are_named(source):
    left = load_matching_weights(made(head=SignedDistanceHead), source[1])
    assert left == [
        "head.distance: weight is not in the file, bias is not in the file",
        "head.classifier: weight is (3, 8, 3, 3) in the file, (3, 11, 3, 3) here",
    ]
    task = made(head=ClassificationHead)
    state = made(head=SignedDistanceHead).state_dict()
    torch.save({"state_dict": state}, f"{source[1]}.distance")
    assert "head.distance: only in the file" in load_matching_weights(task, f"{source[1]}.distance")


def test_a_task_loads_from_a_path_and_names_what_was_left_out(source, caplog):
    _, path = source
    with caplog.at_level(logging.INFO):
        made(num_classes=2, weights=path)
    assert f"tensors loaded from {path}; left out:" in caplog.text
    assert "head.classifier: weight is (3, 8, 3, 3) in the file, (2, 8, 3, 3) here" in caplog.text


def test_another_network_is_refused(source):
    with pytest.raises(InputError, match=r"no tensor of .*source\.ckpt matches the network"):
        made(weights=source[1], network=partial(ResUNetA, initial_filters=4))


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"weights: there is no file no/such\.ckpt"):
        made(weights="no/such.ckpt")


@pytest.mark.parametrize("content", ["text", {"a": 1}, {}])
def test_a_file_without_a_model_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="holds no state dict"):
        made(weights=str(tmp_path / "a.ckpt"))


def test_a_fine_tuned_checkpoint_loads_without_the_first_one(source, tmp_path):
    task = made(num_classes=2, weights=source[1])
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "tuned.ckpt")
    (tmp_path / "source.ckpt").unlink()
    loaded = SegmentationTask.load_from_checkpoint(tmp_path / "tuned.ckpt")
    assert torch.equal(loaded.head.classifier.weight, task.head.classifier.weight)


def test_a_checkpoint_keeps_the_names_of_the_classes(source):
    assert SegmentationTask.load_from_checkpoint(source[1]).class_names == (
        "road",
        "building",
        "tree",
    )


class Named(LightningDataModule):
    class_names = ("sky", "road", "tree")
    class_colors = ((0, 0, 0), (1, 1, 1), (2, 2, 2))

    def __init__(self, loader):
        super().__init__()
        self.loader = loader

    def val_dataloader(self):
        return self.loader


@pytest.mark.parametrize(("num_classes", "known"), [(3, True), (4, False)])
def test_names_and_colours_come_from_the_datamodule(loader, num_classes, known):
    task, named = made(num_classes=num_classes), Named(loader(batch_size=1))
    trainer = Trainer(accelerator="cpu", logger=False, fast_dev_run=True)
    trainer.validate(task, datamodule=named, verbose=False)
    assert task.class_names == (named.class_names if known else None)
    assert task.class_colors == (named.class_colors if known else None)
