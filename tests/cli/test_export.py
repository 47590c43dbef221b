"""`lightning-seg export`, and checkpoints fine-tuned with other classes."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import EdgeDetectionTask, SegmentationTask

NAMES = ("road", "building", "tree")
COLORS = ((128, 64, 128), (70, 70, 70), (0, 128, 0))


def saved(path, network, **options):
    torch.manual_seed(0)
    head = options.pop("head", SignedDistanceHead)
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    task = SegmentationTask(3, 4, network, head, losses, **options)
    task.class_names, task.class_colors = NAMES, COLORS
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return task.eval()


@pytest.fixture
def task(workplace):
    return saved("a.ckpt", partial(Unet, encoder="test_resnet", decoder_channels=(16, 8)))


def test_the_command_exports_to_onnx(task):
    onnxruntime = pytest.importorskip("onnxruntime")
    command = [sys.executable, "-m", "lightning_seg.cli", "export"]
    command += ["--ckpt_path", "a.ckpt", "--output", "models/model.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 classes: road, building, tree" in done.stdout
    assert "any size" in done.stdout
    assert [path.name for path in Path("models").glob("[!.]*")] == ["model.onnx"]

    session = onnxruntime.InferenceSession("models/model.onnx")
    for batch, height, width in [(2, 250, 410), (1, 90, 71)]:
        image = torch.rand(batch, 4, height, width)
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        with torch.no_grad():
            expected = task(image)["logits"]
        assert (torch.from_numpy(logits) - expected).abs().max() < 1e-4
    actual = session.get_modelmeta().custom_metadata_map
    assert json.loads(actual["class_names"]) == list(NAMES)
    assert json.loads(actual["class_colors"]) == [list(color) for color in COLORS]
    assert {name: actual[name] for name in ("num_classes", "in_channels", "height", "width")} == {
        "num_classes": "3", "in_channels": "4", "height": "any", "width": "any",
    }  # fmt: skip
    assert actual["output"] == "logits: float32 (batch, 3, height, width)"


@pytest.mark.slow
def test_a_torch_export_file_can_return_labels_of_a_fixed_size(task, run):
    arguments = ("--output", "model.pt2", "--result", "labels", "--size", "70", "96")
    status, out, err = run("export", "--ckpt_path", "a.ckpt", *arguments)
    assert status == 0, err
    assert "this size only" in out
    assert re.search(r"\d+ of 13440 pixels differ from the checkpoint's", out)
    files = {"metadata.json": ""}
    program = torch.export.load("model.pt2", extra_files=files).module()
    metadata = json.loads(files["metadata.json"])
    assert metadata["class_names"] == list(NAMES)
    assert (metadata["height"], metadata["width"]) == (70, 96)
    image = torch.rand(3, 4, 70, 96)
    with torch.no_grad():
        labels, expected = program(image), task(image)["logits"].argmax(dim=1)
    assert labels.dtype == torch.uint8
    assert (labels == expected).float().mean() > 0.999


@pytest.mark.slow
def test_weights_too_large_for_an_onnx_file_are_stored_beside_it(task, run, monkeypatch):
    monkeypatch.setattr("lightning_seg.inference.export._INLINE_BYTES", 0)
    status, _, err = run("export", "--ckpt_path", "a.ckpt", "--output", "models/model.onnx")
    assert status == 0, err
    assert sorted(path.name for path in Path("models").glob("[!.]*")) == [
        "model.onnx",
        "model.onnx.data",
    ]
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession("models/model.onnx")
    image = torch.rand(1, 4, 90, 71)
    (logits,) = session.run(["logits"], {"image": image.numpy()})
    with torch.no_grad():
        assert (torch.from_numpy(logits) - task(image)["logits"]).abs().max() < 1e-4


def test_help_lists_export(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "export" in out
    status, out, _ = run("export", "--help")
    assert status == 0
    assert "--ckpt_path" in out


EXPORT = ("export", "--output", "model.onnx", "--ckpt_path")


def test_a_missing_checkpoint_is_named(workplace, refused):
    assert "no.ckpt does not exist" in refused(*EXPORT, "no.ckpt")


def test_an_unknown_suffix_lists_the_supported_ones(workplace, refused):
    message = refused("export", "--ckpt_path", "a.ckpt", "--output", "model.pth")
    assert "must be .onnx" in message
    assert ".pt2" in message


def test_a_checkpoint_without_a_model_is_refused(workplace, refused):
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(EdgeDetectionTask(3))
    trainer.save_checkpoint("edges.ckpt")
    message = refused(*EXPORT, "edges.ckpt")
    assert "edges.ckpt is not a checkpoint of a SegmentationTask" in message


def test_an_unwritable_output_is_refused(task, refused):
    Path("taken").write_text("a file")
    Path("folder.pt2").mkdir()
    command = ("export", "--ckpt_path", "a.ckpt", "--size", "32", "64", "--output")
    assert "--output taken/model.pt2 cannot be written" in refused(*command, "taken/model.pt2")
    assert "folder.pt2 was not written by lightning-seg" in refused(*command, "folder.pt2")


def test_missing_packages_suggest_how_to_install_them(task, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'lightning_seg[export]'" in refused(*EXPORT, "a.ckpt")


@pytest.fixture
def of_one_size(workplace):
    encoder = "swin_tiny_patch4_window7_224"
    return saved("swin.ckpt", partial(Unet, encoder=encoder), head=ClassificationHead)


def test_a_size_that_the_network_cannot_take_is_refused(of_one_size, refused):
    assert "cannot take an image of 96 x 96" in refused(*EXPORT, "swin.ckpt", "--size", "96", "96")
    assert not Path("model.onnx").exists()


def test_a_size_without_pixels_is_refused(workplace, refused):
    message = refused("export", "--ckpt_path", "a.ckpt", "--output", "m.pt2", "--size", "-1", "5")
    assert "--size -1 5: give two numbers of pixels" in message


def test_a_network_of_fixed_size_asks_for_the_size(of_one_size, refused):
    message = refused(*EXPORT, "swin.ckpt")
    assert "cannot be exported for any height and width" in message
    assert message.endswith("fixed size: --size HEIGHT WIDTH")


def test_a_run_can_start_from_a_checkpoint_with_other_classes(run, caplog):
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "first")
    assert status == 0, err
    arguments = ("--data.num_classes", "4", "--model.weights", "first/checkpoints/last.ckpt")
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "second", *arguments)
    assert status == 0, err
    assert "head.classifier: weight is (3, 11, 3, 3) in the file, (4, 12, 3, 3)" in caplog.text
    task = SegmentationTask.load_from_checkpoint("second/checkpoints/last.ckpt")
    assert task.class_names is not None
    assert len(task.class_names) == 4


def test_a_run_becomes_a_folder_with_its_figures_and_a_picture(run):
    run("fit", "--config", "config.yaml", "--run_dir", "first")
    command = ("export", "--run_dir", "first", "--ckpt_path", "last", "--output")
    status, _, err = run(*command, "untested")
    assert status == 0, err
    assert "boundary_iou" not in Path("untested", "README.md").read_text()
    run("test", "--config", "config.yaml", "--run_dir", "first", "--ckpt_path", "last")
    status, out, err = run(*command, "model")
    assert status == 0, err
    assert 'from_pretrained("model")' in out
    scalars = json.loads(Path("first/test/metrics.json").read_text())["scalars"]
    card = Path("model/README.md").read_text()
    assert f"| boundary_iou | {scalars['boundary_iou']:.4f} |" in card
    assert "![Example](example.png)" in card
    assert Path("model/example.png").is_file()
    expected = SegmentationTask.load_from_checkpoint("first/checkpoints/last.ckpt").eval()
    actual = SegmentationTask.from_pretrained("model").eval()
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        for name, maps in expected(image).items():
            assert torch.equal(actual(image)[name], maps), name
    assert actual.head.target == expected.head.target


def test_a_folder_has_no_figures_of_other_weights_of_the_same_name(run):
    fit = ("fit", "--config", "config.yaml", "--run_dir", "first")
    run(*fit)
    run("test", "--config", "config.yaml", "--run_dir", "first", "--ckpt_path", "last")
    run(*fit, "--ckpt_path", "last", "--trainer.max_epochs", "2")
    command = ("export", "--run_dir", "first", "--ckpt_path", "last", "--output", "model")
    status, out, err = run(*command)
    assert status == 0, err
    assert "Without figures: those of" in out
    assert "boundary_iou" not in Path("model/README.md").read_text()


def test_a_folder_has_neither_size_nor_result(workplace, refused):
    message = refused("export", "--ckpt_path", "a.ckpt", "--output", "model", "--size", "32", "64")
    assert "--size and --result are for .onnx and .pt2 files" in message
