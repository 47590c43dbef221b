"""Predicting images of any size in processes of their own: killed, or two at once."""

import os
import signal
import time
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from clean_processes import in_clean_process
from lightning.pytorch import Trainer

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.raster_prediction import predict_rasters
from lightning_seg.tasks import SegmentationTask


def make_task():
    torch.manual_seed(0)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"logits": [WeightedLoss(CrossEntropyLoss())]}
    window = SlidingWindow((32, 48), 0.75, 4, 16)
    return SegmentationTask(3, 3, network, ClassificationHead, losses, inference=window)


def write_tiff(path, seed, height):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 130, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib")


def predict(images, out, **kwargs):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        **kwargs,
    )  # fmt: skip
    predict_rasters(make_task(), images, out, class_names=["a", "b", "c"], trainer=trainer)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


@in_clean_process
def test_a_killed_prediction_goes_on(tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=80)
    write_tiff(images / "b.tif", 1, height=20_000)
    process = os.fork()
    if not process:
        predict(images, out)
        os._exit(0)
    ends = time.monotonic() + 200
    while not ((out / "a.tif").exists() and list(out.glob(".partial-*b.tif"))):
        assert time.monotonic() < ends, "it began no second image"
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL, "it had finished already"
    assert list(files(out)) == ["a.tif"]
    first = (out / "a.tif").stat().st_mtime_ns

    write_tiff(images / "b.tif", 1, height=80)  # the rest of a large one would take long
    predict(images, out)
    assert sorted(path.name for path in out.iterdir()) == [".finished", "a.tif", "b.tif"]
    assert (out / "a.tif").stat().st_mtime_ns == first
    predict(images, tmp_path / "at_once")
    assert files(out) == files(tmp_path / "at_once")


@in_clean_process
def test_an_image_that_cannot_be_read_to_its_end_leaves_no_file_begun(tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (400, 130, 3), np.uint8)
    tifffile.imwrite(
        images / "b.tif", pixels, photometric="rgb", compression="zlib", rowsperstrip=10
    )
    whole = (images / "b.tif").read_bytes()
    (images / "b.tif").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match=r"b\.tif"):
        predict(images, out)
    assert [path.name for path in out.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("count", [1, 3])
@in_clean_process
def test_two_processes_share_the_images(tmp_path, count):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(count):
        write_tiff(images / f"{seed}.tif", seed, height=60 + 20 * seed)
    predict(images, tmp_path / "two", devices=2, strategy="ddp_fork")
    predict(images, tmp_path / "one")
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert len(files(tmp_path / "two")) == count
