"""Every method configuration trains on synthetic scenes and on CamVid.

Networks, crops and numbers of samples are small here; all else is what the files say.
"""

from pathlib import Path

import albumentations
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer, seed_everything

from lightning_seg import heads, inference, losses, networks  # noqa: F401 (classes by short names)
from lightning_seg.data import CamVidDataModule, SyntheticDataModule
from lightning_seg.tasks import EdgeDetectionTask, SegmentationTask

CONFIGS = Path(__file__).parents[2] / "configs" / "method"
EDGE_NETWORK = Path("runs/semeda/edge_network/checkpoints/best.ckpt")  # as semeda.yaml has it
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
}

each_method = pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    one = {"num_train": 1, "num_val": 1, "num_test": 1}
    return SyntheticDataModule(
        root=tmp_path_factory.mktemp("synthetic"),
        size=64,
        crop_size=64,
        samples_per_epoch=4,
        batch_size=2,
        num_workers=0,
        **one,
    )


@pytest.fixture(scope="module")
def camvid(tmp_path_factory, camvid_root):
    """A few frames in a separate folder, because class counts are cached beside them."""
    root = tmp_path_factory.mktemp("camvid")
    for split, number in (("train", 4), ("val", 1)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir()
            for frame in sorted((camvid_root / folder).glob("*.png"))[:number]:
                (root / folder / frame.name).symlink_to(frame)
    small = [albumentations.Resize(height=48, width=64)]
    return CamVidDataModule(
        root=root,
        test_split="val",
        batch_size=2,
        num_workers=0,
        train_transforms=small,
        eval_transforms=small,
    )


def trained(task, data, steps=2):
    seed_everything(0, verbose=False)
    trainer = Trainer(max_steps=steps, limit_val_batches=1, **QUIET)
    trainer.fit(task, data)
    return trainer


def small_task(path, data):
    """Return a task with a small network and the method of a file."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(SegmentationTask, "model")
    sizes = [f"--model.num_classes={data.num_classes}", f"--model.in_channels={data.in_channels}"]
    unet = ["--model=SegmentationTask", "--model.network=Unet"]
    options = ["--model.network.encoder=test_resnet", "--model.network.decoder_channels=[16, 8]"]
    config = parser.parse_args([*unet, *options, *sizes, "--config", str(path)])
    return parser.instantiate(config).model


def check_training(path, data, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    if "edge_network:" in path.read_text():
        EDGE_NETWORK.parent.mkdir(parents=True)
        trained(EdgeDetectionTask(data.num_classes), data).save_checkpoint(EDGE_NETWORK)
    task = small_task(path, data)
    before = {name: value.clone() for name, value in task.named_parameters()}
    trainer = trained(task, data)
    assert trainer.global_step == 2
    logged = trainer.callback_metrics
    assert {"train/loss", "val/loss"} <= set(logged)
    absent = "positive/"  # the share of a class's pixels, where the batch has none of the class
    assert all(value.isfinite() for name, value in logged.items() if absent not in name)
    moved = [not torch.equal(before[name], value) for name, value in task.named_parameters()]
    assert sum(moved) > len(moved) / 2


@each_method
def test_a_method_trains_on_synthetic_scenes(path, synthetic, tmp_path, monkeypatch):
    check_training(path, synthetic, tmp_path, monkeypatch)


@each_method
def test_a_method_trains_on_camvid(path, camvid, tmp_path, monkeypatch):
    check_training(path, camvid, tmp_path, monkeypatch)
