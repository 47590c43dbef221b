"""Checkpoints that are damaged, made by something else, or hold code."""

import os
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import SGD

from lightning_seg.callbacks import AtomicCheckpointIO
from lightning_seg.checkpoints import check_finite, find_checkpoints, read_checkpoint
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, MapL1Loss, SobelLoss, WeightedLoss
from lightning_seg.networks import EdgeNetwork, Unet
from lightning_seg.tasks import Optimization, SegmentationTask
from lightning_seg.tasks.fine_tuning import load_matching_weights


def make_task(classes=3, head=ClassificationHead, losses=None, **kwargs):
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = losses or {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    return SegmentationTask(classes, 3, network, head, losses, **kwargs)


def save(task, path):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, plugins=AtomicCheckpointIO()
    )
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "a.ckpt"
    torch.manual_seed(0)
    save(make_task(), path)
    return path


def changed(good, tmp_path, change):
    content = torch.load(good, weights_only=True)
    content = change(content) or content
    torch.save(content, tmp_path / "b.ckpt")
    return tmp_path / "b.ckpt"


WAYS = {
    "in Python": SegmentationTask.load_from_checkpoint,
    "by a trainer": AtomicCheckpointIO().load_checkpoint,
    "as weights": lambda path: load_matching_weights(make_task(), path),
    "as an edge network": EdgeNetwork.from_checkpoint,
}


def test_a_flipped_bit_anywhere_is_found_or_harmless(good, tmp_path):
    whole = good.read_bytes()
    expected = torch.load(good, weights_only=True)["state_dict"]
    random = np.random.default_rng(0)
    for position in random.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << random.integers(8)
        (tmp_path / "b.ckpt").write_bytes(damaged)
        try:
            state = read_checkpoint(tmp_path / "b.ckpt")["state_dict"]
        except InputError:
            continue
        assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_that_is_cut_off_is_refused(good, tmp_path, way):
    whole = good.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.ckpt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"b.ckpt is (cut off|damaged)"):
            WAYS[way](tmp_path / "b.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("way", list(WAYS)[:3])
def test_weights_that_are_not_finite_are_refused_by_name(good, tmp_path, way, value):
    def change(content):
        name = next(n for n, t in content["state_dict"].items() if t.ndim == 4)
        content["state_dict"][name][0, 0, 0, 0] = value

    with pytest.raises(InputError, match=r"tensor network\.\S+ has values that are not finite"):
        WAYS[way](changed(good, tmp_path, change))


def test_attention_masks_may_be_infinite():
    mask = torch.full((4, 4), -torch.inf).triu(1)
    check_finite({"encoder.mask": mask}, "a.ckpt")
    for wrong in (-mask, mask + 1):
        with pytest.raises(InputError, match=r"a.ckpt: the tensor encoder.mask has values"):
            check_finite({"encoder.mask": wrong}, "a.ckpt")


@pytest.mark.parametrize("content", [{"epoch": 1}, [1, 2], {"state_dict": {}}, 3])
def test_files_of_something_else_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "b.ckpt")
    for way in list(WAYS.values())[:2]:
        with pytest.raises(InputError, match=r"b.ckpt is not a checkpoint of a training run"):
            way(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, n: s.pop(n), r"{} is not in the checkpoint\. Use"),
        (lambda s, n: s.update(extra=s[n]), r"extra is not in the model\. Use"),
        (
            lambda s, n: s.update({n: s[n][:2]}),
            r"{} has the shape \[2, 8, 3, 3\] in the checkpoint, but \[3, 8, 3, 3\] in the model",
        ),
    ],
)
def test_checkpoints_of_another_model_name_the_tensor(good, tmp_path, change, message):
    name = "head.classifier.weight"

    def edit(content):
        change(content["state_dict"], name)

    with pytest.raises(InputError, match="of another model: " + message.format(name)):
        SegmentationTask.load_from_checkpoint(changed(good, tmp_path, edit))


class Crafted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["alone", "hyper_parameters", "callbacks", "legacy"])
def test_code_in_a_file_is_not_run(good, tmp_path, way, place):
    code = Crafted(tmp_path / "run")

    def change(content):
        if place == "alone":
            return code
        content[place] = {"a": code}
        return content

    path = changed(good, tmp_path, change if place != "legacy" else lambda content: None)
    if place == "legacy":
        path.write_bytes(pickle.dumps(code))
    with pytest.raises(InputError, match=r"weights_only=False|cut off"):
        WAYS[way](path)
    assert not Path(tmp_path / "run").exists()


TTA = "lightning_seg.inference.TestTimeAugmentation"
MAKES_CODE = "torch.fx.graph_module.reduce_graph_module"


@pytest.mark.parametrize(
    "settings",
    [
        {"losses": {"a": {"loss": {"class_path": MAKES_CODE, "init_args": {}}}}},
        {"network": MAKES_CODE},
        {"inference": "inference.yaml"},
        {"inference": {"class_path": TTA, "init_args": {"window": "window.yaml"}}},
        {"head": {"class_path": "lightning_seg.cli.main"}},
        {"_class_path": "subprocess.Popen"},
        {"_instantiator": "os.system"},
    ],
)
def test_settings_that_name_no_class_of_a_model_are_refused(good, tmp_path, settings):
    """Settings are plain data, and yet made into objects."""
    path = changed(good, tmp_path, lambda c: c | {"hyper_parameters": settings})
    with pytest.raises(InputError, match=r"could run any code|is unknown"):
        SegmentationTask.load_from_checkpoint(path)


def test_a_person_who_trusts_a_file_says_so(good, tmp_path):
    path = changed(good, tmp_path, lambda content: content.update(epoch=Crafted(tmp_path / "run")))
    task = make_task(weights=str(path), trust_weights=True)
    assert isinstance(task, SegmentationTask)
    assert (tmp_path / "run").is_dir()
    (tmp_path / "run").rmdir()
    SegmentationTask.load_from_checkpoint(path, weights_only=False)
    assert (tmp_path / "run").is_dir()


def test_a_task_made_in_python_is_restored_from_its_checkpoint_alone(tmp_path):
    losses = {
        "cross_entropy": WeightedLoss(CrossEntropyLoss(), 2.0),
        "sobel": WeightedLoss(SobelLoss()),
        "distance": WeightedLoss(MapL1Loss(), prediction="distance"),
    }
    head = partial(SignedDistanceHead, clip=5.0)
    task = make_task(4, head, losses, optimization=Optimization(partial(SGD, lr=0.1)))
    save(task, tmp_path / "a.ckpt")
    again = SegmentationTask.load_from_checkpoint(tmp_path / "a.ckpt")
    assert again.terms["cross_entropy"].weight == 2.0
    assert again.optimization.optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == 0.1
    assert all(torch.equal(t, task.state_dict()[n]) for n, t in again.state_dict().items())


@pytest.mark.parametrize("named", ["", "[]", "[ , ]", "[auto, last]"])
def test_no_checkpoint_in_a_list_is_an_error_and_no_fresh_start(tmp_path, named):
    with pytest.raises(InputError, match="does not exist" if named == "" else "one checkpoint or"):
        find_checkpoints(named, tmp_path)


def test_a_list_of_checkpoints_longer_than_any_file_name_is_read(good, tmp_path):
    named = ", ".join([str(good)] * 100)
    assert find_checkpoints(f"[{named}]", tmp_path) == [str(good)] * 100
    with pytest.raises(InputError, match="does not exist"):
        find_checkpoints(named, tmp_path)
