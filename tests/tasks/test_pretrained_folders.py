"""Models as folders in the Hugging Face hub's convention."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lightning_seg.errors import InputError
from lightning_seg.heads import MultiTaskHead, SignedDistanceHead
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

NAMES = ("road", "building", "tree")
COLORS = ((128, 64, 128), (70, 70, 70), (0, 128, 0))
NETWORK = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
LOSSES = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}


def make(network=NETWORK, head=SignedDistanceHead, **options):
    torch.manual_seed(0)
    task = SegmentationTask(3, 4, network, head, LOSSES, **options)
    task.class_names, task.class_colors = NAMES, COLORS
    task.train()(torch.rand(2, 4, 64, 64))  # other running statistics than at the start
    return task.eval()


@pytest.mark.parametrize("head", [partial(SignedDistanceHead, clip=5.0), MultiTaskHead])
def test_predictions_are_equal_to_the_bit_after_a_round_trip(tmp_path, head):
    task = make(head=head)
    task.save_pretrained(tmp_path / "a")
    loaded = SegmentationTask.from_pretrained(tmp_path / "a").eval()
    loaded.save_pretrained(tmp_path / "b")
    again = SegmentationTask.from_pretrained(tmp_path / "b").eval()
    image = torch.rand(2, 4, 50, 70)
    with torch.no_grad():
        expected = task(image)
        for other in (loaded, again):
            actual = other(image)
            assert actual.keys() == expected.keys()
            assert all(torch.equal(actual[name], maps) for name, maps in expected.items())
    assert (again.class_names, again.class_colors) == (NAMES, COLORS)
    assert again.head.__class__ is task.head.__class__
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["network"]["init_args"] == {"encoder": "test_resnet", "decoder_channels": [16, 8]}


@pytest.mark.parametrize("inference", [SlidingWindow((32, 32)), TestTimeAugmentation([0.5, 1.0])])
def test_windows_and_scales_of_inference_are_kept(tmp_path, inference):
    make(inference=inference).save_pretrained(tmp_path)
    assert SegmentationTask.from_pretrained(tmp_path).inference == inference


def test_the_folder_holds_plain_data_and_a_model_card(tmp_path):
    cv2.imwrite(str(tmp_path / "scene.png"), np.zeros((4, 4, 3), np.uint8))
    task, folder = make(), tmp_path / "model"
    task.save_pretrained(folder, {"boundary_iou": 0.51234}, tmp_path / "scene.png")
    files = {path.name for path in folder.glob("[!.]*")}
    assert files == {"model.safetensors", "config.json", "README.md", "example.png"}
    weights = load_file(folder / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"network", "head"}
    card = (folder / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "image-segmentation"
    assert "| 1 | building | #464646 |" in text
    assert "| boundary_iou | 0.5123 |" in text
    assert "![Example](example.png)" in text
    code = text.split("```python\n")[1].split("```")[0].replace("this/folder", str(folder))
    scope = {"images": torch.rand(1, 4, 40, 40)}
    exec(code, scope)
    assert torch.equal(scope["labels"], task(scope["images"])["logits"].argmax(dim=1))


def test_a_new_task_starts_from_the_weights_of_a_folder(tmp_path):
    task = make()
    task.save_pretrained(tmp_path)
    other = SegmentationTask(5, 4, NETWORK, SignedDistanceHead, LOSSES,
                             weights=str(tmp_path / "model.safetensors"))  # fmt: skip
    for name, weight in task.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[name], weight), name


def test_a_file_of_another_origin_is_not_replaced(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"README.md was not written by lightning-seg"):
        make().save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_network_that_is_no_class_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"network is <function.*functools\.partial"):
        make(network=lambda channels: NETWORK(channels)).save_pretrained(tmp_path)


class Alone(SegmentationTask):
    """A task whose settings do not tell how its network was built."""

    def __init__(self, num_classes=3):
        super().__init__(num_classes, 4, NETWORK, SignedDistanceHead, LOSSES)
        self._hparams = {}


def test_a_task_that_does_not_say_how_its_network_was_built_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"how its network was built\. Call save_hyperparameters"):
        Alone().save_pretrained(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    task = make()
    with torch.no_grad():
        next(task.network.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="not finite"):
        task.save_pretrained(tmp_path)


def spoilt(folder, change):
    make().save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


class Foreign(Unet):
    """A network of no package."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["network"].update(class_path="subprocess.Popen"), "could run any code"),
        (lambda c: c.update(head="head.yaml"), "head is no class with its settings"),
        (lambda c: c.update(inference="tta.yaml"), "inference is no class with its settings"),
        (lambda c: c.pop("network"), "does not describe a model.*network"),
        (lambda c: c["network"]["init_args"].update(encoder="resnet18"), "is of another model"),
        (lambda c: c["network"]["init_args"].update(encoder="resnet19"), "no encoder named"),
        (lambda c: c["head"].update(init_args={"clap": 3}), "the model cannot be made"),
        (lambda c: c.update(num_classes=1, class_names=None, class_colors=None), "num_classes is"),
        (
            lambda c: c.update(class_names=["road"]),
            "class_names is .'road'., expected one for each",
        ),
        (lambda c: c.update(class_colors=[1, 2, 3]), "class_colors is .*each of 3 classes"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(tmp_path, change, message):
    spoilt(tmp_path, change)
    with pytest.raises(InputError, match=message):
        SegmentationTask.from_pretrained(tmp_path)


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"config.json cannot be read \(No such file"):
        SegmentationTask.from_pretrained(tmp_path)
    make().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model.safetensors is cut off, damaged"):
        SegmentationTask.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match=r"model.safetensors is cut off.*No such file"):
        SegmentationTask.from_pretrained(tmp_path)
    Path(tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="does not describe a model"):
        SegmentationTask.from_pretrained(tmp_path)


def test_a_class_of_ones_own_is_made_if_it_is_trusted(tmp_path):
    network = partial(Foreign, encoder="test_resnet", decoder_channels=(16, 8))
    make(network=network).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trust_classes=True"):
        SegmentationTask.from_pretrained(tmp_path)
    task = SegmentationTask.from_pretrained(tmp_path, trust_classes=True)
    assert type(task.network).__name__ == "Foreign"
