"""Prediction by windows of images that are downscaled while being read."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from PIL import Image

from lightning_seg import testing
from lightning_seg.data import CelebAMaskHQDataModule, ISPRSDataModule
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.prediction import PredictionFiles, row_labels
from lightning_seg.prediction.predict import predict as predict_data
from lightning_seg.tasks import SegmentationTask


def make_task(num_classes):
    torch.manual_seed(0)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    return SegmentationTask(
        num_classes, 3, network, ClassificationHead, losses,
        inference=SlidingWindow((32, 32), 0.5, 3, 8),
    ).eval()  # fmt: skip


def predict(task, data, out, batches=None, **kwargs):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        limit_predict_batches=batches,
    )  # fmt: skip
    predict_data(task, data, out, PredictionFiles(**kwargs), trainer)


def in_memory(task, data, size):
    """Return probabilities (K, H, W) of the first image, enlarged to the size of its file."""
    image = torch.from_numpy(data.reader.image(data.predict_pairs()[0]))
    image = image.permute(2, 0, 1).float()[None] / 255
    with torch.inference_mode():
        small = task.inference(task.probabilities, image)["logits"]
    return F.interpolate(small, size=size, mode="bilinear", align_corners=False)[0]


def agree(labels, probabilities):
    """Assert that labels are the argmax, except where the two largest differ only by rounding."""
    best, second = probabilities.topk(2, dim=0).values
    clear = (best - second > 1e-6).numpy()
    assert clear.mean() > 0.99
    return np.array_equal(labels[clear], probabilities.argmax(0).numpy()[clear])


def test_a_tile_at_half_resolution_keeps_its_size_and_georeference(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 101, 131), np.uint8)
    transform = rasterio.Affine(0.05, 0, 367000, 0, -0.05, 5808000)
    with rasterio.open(
        tmp_path / "tile.tif", "w", "GTiff", 131, 101, 3, "EPSG:25833", transform, "uint8",
        compress="deflate",
    ) as file:  # fmt: skip
        file.write(pixels)
    task = make_task(6)
    data = ISPRSDataModule(field_of_view=4, predict_root=tmp_path / "tile.tif", num_workers=0)
    predict(task, data, tmp_path / "out", probabilities="float16")
    expected = in_memory(task, data, (101, 131))
    with rasterio.open(tmp_path / "out" / "tile.tif") as file:
        assert file.crs == "EPSG:25833"
        assert file.transform == transform
        assert agree(file.read(1), expected)
    with rasterio.open(tmp_path / "out" / "tile_probabilities.tif") as file:
        np.testing.assert_allclose(file.read(), expected.numpy(), atol=1e-3)


@pytest.mark.parametrize(("height", "batches"), [(400, 5), (401, 20), (401, 21)])
def test_a_tile_at_half_resolution_resumes(tmp_path, monkeypatch, height, batches):
    pixels = np.random.default_rng(0).integers(0, 256, (height, 131, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    task = make_task(6)
    data = ISPRSDataModule(field_of_view=4, predict_root=tmp_path / "tile.png", num_workers=0)
    predict(task, data, tmp_path / "at_once")
    monkeypatch.setattr(row_labels, "SECONDS", 0)
    predict(task, data, tmp_path / "out", batches)
    assert list(tmp_path.glob("out/.rows/*/*.npz"))
    assert not (tmp_path / "out" / "tile.png").exists()
    predict(task, data, tmp_path / "out")
    labels, at_once = (np.array(Image.open(tmp_path / f / "tile.png")) for f in ("out", "at_once"))
    assert np.array_equal(labels, at_once)


def test_face_labels_have_the_size_of_their_photographs(tmp_path):
    testing.write_celebamask_hq(tmp_path, size=(32, 40))
    task = make_task(19)
    data = CelebAMaskHQDataModule(tmp_path, num_workers=0)
    predict(task, data, tmp_path / "out")
    labels = np.array(Image.open(tmp_path / "out" / f"{data.predict_pairs()[0].name}.png"))
    assert labels.shape == (64, 80)
    assert agree(labels, in_memory(task, data, (64, 80)))
