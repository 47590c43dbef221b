"""Both stages of SEMEDA on a folder of images, from the command line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from tiny_datasets import TINY

from lightning_seg.data.inspection import inspect_dataset
from lightning_seg.tasks import EdgeDetectionTask, SegmentationTask

STAGE_ONE = Path(__file__).parents[2] / "configs" / "experiment" / "semeda" / "edge_network.yaml"
EDGES = Path("edges/checkpoints/best.ckpt")
QUICK = (
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
)
STAGE_TWO = """\
panels: null
model:
  class_path: SegmentationTask
  init_args:
    head: {class_path: ClassificationHead}
    losses:
      cross_entropy: {loss: CrossEntropyLoss}
      semeda:
        loss: {class_path: SemedaLoss, init_args: {edge_network: edges/checkpoints/best.ckpt}}
"""


@pytest.fixture
def edge_run(run):
    """A very short stage one on the data of ``config.yaml``."""
    data = yaml.safe_load(Path("config.yaml").read_text())["data"]
    Path("data.yaml").write_text(yaml.safe_dump(data))
    status, out, err = run(
        *("fit", "--config", str(STAGE_ONE), "--data", "data.yaml", "--run_dir", "edges"),
        *("--trainer.max_epochs", "2", *QUICK),
    )
    assert status == 0, err
    return out


@pytest.fixture
def second_stage(run):
    Path("semeda.yaml").write_text(STAGE_TWO)

    def call(command, *more):
        return run(command, "--config", "config.yaml", "--config", "semeda.yaml", *more)

    return call


def test_stage_one_trains_on_the_masks_of_any_data(edge_run):
    assert EDGES.is_file()
    epochs = [json.loads(line) for line in Path("edges/epochs.jsonl").read_text().splitlines()]
    assert len(epochs) == 2
    assert {"train/edge_f1", "val/edge_f1", "val/loss"} <= set(epochs[0])
    assert not any("boundary" in name for name in epochs[0])
    assert not Path("edges/pictures").exists()
    described = torch.load(EDGES, weights_only=True)["edge_network"]
    assert len(described["class_names"]) == 3


@pytest.mark.slow
def test_stage_one_stops_once_edges_are_learned(run, edge_run):
    status, _, err = run(
        *("fit", "--config", str(STAGE_ONE), "--data", "data.yaml", "--run_dir", "long"),
        *("--trainer.max_epochs", "60", "--model.learning_rate", "0.02", *QUICK),
    )
    assert status == 0, err
    epochs = [json.loads(line) for line in Path("long/epochs.jsonl").read_text().splitlines()]
    assert epochs[-1]["val/edge_f1"] > 0.99
    assert all(epoch["val/edge_f1"] <= 0.99 for epoch in epochs[:-1])
    assert len(epochs) < 60


def test_stage_one_is_tested_and_resumed_like_any_run(run, edge_run):
    config = ("--config", "edges/config.yaml", "--ckpt_path", "last")
    status, _, err = run("fit", *config, "--trainer.max_epochs", "3")
    assert status == 0, err
    assert len(Path("edges/epochs.jsonl").read_text().splitlines()) == 3
    status, _, err = run("test", *config)
    assert status == 0, err


def test_a_trained_model_does_not_need_the_edge_networks_file(edge_run, second_stage):
    status, _, err = second_stage("fit", "--run_dir", "run")
    assert status == 0, err
    test = ("test", "--run_dir", "run", "--ckpt_path", "last")
    status, first, err = second_stage(*test)
    assert status == 0, err
    figures = json.loads(Path("run/test/metrics.json").read_text())
    expected = SegmentationTask.load_from_checkpoint("run/checkpoints/last.ckpt")

    EDGES.unlink()
    status, again, err = second_stage(*test)
    assert status == 0, err
    assert again == first
    assert json.loads(Path("run/test/metrics.json").read_text()) == figures

    task = SegmentationTask.load_from_checkpoint("run/checkpoints/last.ckpt")
    logits = torch.randn(1, 3, 20, 30)
    mask = torch.randint(0, 3, (1, 20, 30))
    name = "semeda"
    assert task.losses[name](logits, mask) == expected.losses[name](logits, mask) > 0

    status, _, err = second_stage(
        *("fit", "--run_dir", "run", "--ckpt_path", "last", "--trainer.max_epochs", "2")
    )
    assert status == 0, err


def test_stage_two_without_an_edge_network_names_the_command_for_stage_one(refused):
    Path("semeda.yaml").write_text(STAGE_TWO)
    message = refused("fit", "--config", "config.yaml", "--config", "semeda.yaml")
    assert "there is no edge network" in message
    assert "edges/checkpoints/best.ckpt" in message
    assert "lightning-seg fit --config configs/experiment/semeda/edge_network.yaml" in message


def test_a_segmentation_checkpoint_is_no_edge_network(refused, run):
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "edges")
    assert status == 0, err
    Path("semeda.yaml").write_text(STAGE_TWO)
    message = refused("fit", "--config", "config.yaml", "--config", "semeda.yaml")
    assert "best.ckpt is not the checkpoint of an edge network" in message


def test_metrics_and_pictures_can_be_left_out_or_set(run):
    status, _, err = run(
        *("fit", "--config", "config.yaml", "--run_dir", "run", "--best_by", "val/iou"),
        *("--panels", "null", "--boundary_metrics.trimap_widths=[4]"),
    )
    assert status == 0, err
    assert not Path("run/pictures").exists()
    epoch = json.loads(Path("run/epochs.jsonl").read_text().splitlines()[0])
    assert "val/trimap_iou_4px" in epoch
    assert "val/trimap_iou_3px" not in epoch
    checkpoint = torch.load("run/checkpoints/best.ckpt", weights_only=False)
    monitored = [v.get("monitor") for v in checkpoint["callbacks"].values()]
    assert "val/iou" in monitored


def test_an_edge_network_for_other_classes_is_refused_before_training(refused, edge_run):
    Path("semeda.yaml").write_text(STAGE_TWO)
    config = Path("config.yaml").read_text()
    Path("config.yaml").write_text(config.replace("num_classes: 3", "num_classes: 4"))
    message = refused("fit", "--config", "config.yaml", "--config", "semeda.yaml")
    assert "the edge network was trained for 3 classes, but there are 4 here" in message
    assert "Train one on the masks of your data" in message


def test_stage_one_does_not_resume_from_a_checkpoint_of_stage_two(run, refused, workplace):
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "run")
    assert status == 0, err
    data = yaml.safe_load(Path("config.yaml").read_text())["data"]
    Path("data.yaml").write_text(yaml.safe_dump(data))
    message = refused(
        *("fit", "--config", str(STAGE_ONE), "--data", "data.yaml", "--run_dir", "edges"),
        *("--ckpt_path", "run/checkpoints/last.ckpt", *QUICK),
    )
    assert "not one of an edge network" in message


@pytest.mark.parametrize(
    "name", ["folder", "camvid", "camvid_original", "cityscapes", "voc", "helen"]
)
def test_stage_one_needs_no_photos(name, tmp_path):
    TINY[name].write(tmp_path)
    data, complete = TINY[name].make(tmp_path), TINY[name].make(tmp_path)
    complete.setup("fit")
    masks = [complete.datasets["train"][index]["mask"] for index in range(2)]
    for pair in [pair for split in ("train", "val", "test") for pair in complete.pairs(split)]:
        pair.image.unlink(missing_ok=True)
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(EdgeDetectionTask(data.num_classes), datamodule=data)
    for index, mask in enumerate(masks):
        assert torch.equal(data.datasets["train"][index]["mask"], mask)
    assert inspect_dataset(data).problems == []


def test_stage_one_and_check_work_without_a_folder_of_photos(run):
    shutil.rmtree("my_folder/images")
    Path("data.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(Path("config.yaml").read_text())["data"])
    )
    config = ("--config", str(STAGE_ONE), "--data", "data.yaml")
    status, _, err = run("fit", *config, "--run_dir", "edges", "--trainer.max_epochs", "1", *QUICK)
    assert status == 0, err
    status, out, err = run("data", "check", *config)
    assert (status, err) == (0, "")
    assert "No problems found" in out
