"""Prediction of images of any size in separate processes: killed, or two at once."""

import os
import signal
import time
from functools import partial

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from clean_processes import in_clean_process
from lightning.pytorch import Callback, Trainer

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.prediction import predict_rasters, row_labels
from lightning_seg.prediction.geotiff import GeoTiff
from lightning_seg.prediction.polygons import Polygons
from lightning_seg.prediction.row_store import RowStore
from lightning_seg.tasks import SegmentationTask


def make_task(seed=0):
    torch.manual_seed(seed)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    window = SlidingWindow((32, 48), 0.75, 4, 16)
    return SegmentationTask(3, 3, network, ClassificationHead, losses, inference=window)


def write_tiff(path, seed, height):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 130, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib")


def predict(images, out, seed=0, **kwargs):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        **kwargs,
    )  # fmt: skip
    predict_rasters(make_task(seed), images, out, class_names=["a", "b", "c"], trainer=trainer)


def quiet_predict(images, out, **kwargs):
    """Predict with settings of files."""
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    predict_rasters(
        make_task(), images, out, class_names=["a", "b", "c"], trainer=trainer, **kwargs
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


class Counting(Callback):
    """Counts the predicted batches of windows."""

    def __init__(self):
        self.batches = 0

    def on_predict_batch_end(self, *args):
        self.batches += 1


def batches_of(images, out):
    counting = Counting()
    predict(images, out, callbacks=[counting])
    return counting.batches


def rows_kept(out):
    """Rows of image b, from the top."""
    return max(
        (int(path.stem.split("-")[1]) for path in out.glob(".rows/b-*/[0-9]*.npz")), default=0
    )


@in_clean_process
def test_a_killed_prediction_resumes(tmp_path, monkeypatch):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=80)
    write_tiff(images / "b.tif", 1, height=3000)
    monkeypatch.setattr(row_labels, "SECONDS", 0.2)
    process = os.fork()
    if not process:
        predict(images, out)
        os._exit(0)
    ends = time.monotonic() + 200
    while not ((out / "a.tif").exists() and rows_kept(out) >= 400):
        assert time.monotonic() < ends, "it kept no rows of a second image"
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL, "it had finished already"
    assert list(files(out)) == ["a.tif"]
    first = (out / "a.tif").stat().st_mtime_ns

    seen = batches_of(images, out)
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.tif", "b.tif"]
    assert not (out / ".rows").exists()
    assert (out / "a.tif").stat().st_mtime_ns == first
    all_batches = batches_of(images, tmp_path / "at_once")
    assert files(out) == files(tmp_path / "at_once")
    first_image, rows_of_windows = 28, 400 / 8
    assert seen < all_batches - first_image - 2 * rows_of_windows, "it began the second image anew"
    assert batches_of(images, out) == 0


@in_clean_process
def test_rows_of_another_model_are_not_reused(tmp_path, monkeypatch):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=200)
    monkeypatch.setattr(row_labels, "SECONDS", 0)
    predict(images, out, limit_predict_batches=30)
    (rows,) = out.glob(".rows/*")
    gaps = RowStore(out, "a", rows.name.removeprefix("a-"), 200).missing()
    assert 0 < gaps[0][0] < gaps[0][1] == 200
    predict(images, out, seed=1)
    predict(images, tmp_path / "at_once", seed=1)
    assert files(out) == files(tmp_path / "at_once")
    assert not (out / ".rows").exists()


def fails(*args):
    """Polygons that cannot be written, as on a full disk."""
    raise OSError("no space left")


@in_clean_process
def test_an_image_is_finished_only_once_all_its_files_are_written(tmp_path, monkeypatch):
    pytest.importorskip("pyogrio")
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=200)
    monkeypatch.setattr(row_labels, "SECONDS", 0)
    trainer = partial(
        Trainer, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False,
    )  # fmt: skip
    settings = {"class_names": ["a", "b", "c"], "polygons": Polygons()}
    with monkeypatch.context() as patch:
        patch.setattr(Polygons, "write", fails)
        with pytest.raises(OSError, match="no space left"):
            predict_rasters(make_task(), images, out, trainer=trainer(), **settings)
    assert [path.name for path in out.iterdir()] == [".rows"]
    counting = Counting()
    predict_rasters(make_task(), images, out, trainer=trainer(callbacks=[counting]), **settings)
    assert counting.batches < 20
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.gpkg", "a.tif"]
    assert not (out / ".rows").exists()


class Replacing(Callback):
    """Replaces the image while it is predicted."""

    def __init__(self, path):
        self.path = path

    def on_predict_batch_start(self, *args):
        other = self.path.with_name("other")
        write_tiff(other, 1, height=60)
        os.replace(other, self.path)


@in_clean_process
def test_an_image_that_changes_during_prediction_is_predicted_again(tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=60)
    predict(images, out, callbacks=[Replacing(images / "a.tif")])
    assert batches_of(images, out) > 0
    predict(images, tmp_path / "at_once")
    assert files(out) == files(tmp_path / "at_once")


def note_that_it_ran(module, *args):
    """Changes an attribute in forward, like some timm networks."""
    module.ran = getattr(module, "ran", 0) + 1


@in_clean_process
def test_processes_share_an_image_even_if_the_network_changes_its_attributes(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    write_tiff(images / "a.tif", 0, height=200)
    for name, settings in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_fork"})):
        task = make_task()
        task.network.register_forward_hook(note_that_it_ran)
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            **settings,
        )  # fmt: skip
        names = ["a", "b", "c"]
        predict_rasters(
            task, images, tmp_path / name, class_names=names, trainer=trainer, entropy=True
        )
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert len(files(tmp_path / "two")) == 2


@in_clean_process
def test_an_image_that_fails_to_read_leaves_no_partial_file(tmp_path):
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
    assert {path.name for path in out.iterdir()} <= {".rows"}


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


@pytest.mark.parametrize("overviews", [None, "average"])
@pytest.mark.parametrize("bands", [3, 4])
def test_bands_of_bytes_are_neither_colours_nor_opacity(tmp_path, bands, overviews):
    path = tmp_path / "probabilities.tif"
    file = GeoTiff(path, (bands, 16, 16), "uint8", {}, overviews=overviews)
    file.write(np.zeros((bands, 16, 16), np.uint8))
    file.close()
    with rasterio.open(path) as written:
        assert {kind.name for kind in written.colorinterp} <= {"gray", "undefined"}
        assert written.read(masked=True).count() == bands * 16 * 16
