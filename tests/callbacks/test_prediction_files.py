"""Which files predictions go to, and when those that are there are kept."""

from functools import partial

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from PIL import Image
from torch import nn

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.callbacks.finished_images import FinishedImages, fingerprint, settings_of
from lightning_seg.data import FolderDataModule, RasterDataModule
from lightning_seg.data.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

pytestmark = pytest.mark.filterwarnings("ignore")


def make_task(num_classes=3):
    torch.manual_seed(0)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"logits": [WeightedLoss(CrossEntropyLoss())]}
    window = SlidingWindow((32, 32))
    return SegmentationTask(num_classes, 3, network, ClassificationHead, losses, inference=window)


def write_image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        Image.fromarray(pixels).save(path)


def predict(images, out, by_windows=True, num_classes=3, **kwargs):
    source = FolderDataModule(images, num_classes, predict_root=images, num_workers=0)
    task = make_task(num_classes)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[PredictionWriter(str(out), **kwargs)],
    )  # fmt: skip
    data = RasterDataModule(source, task.window_layout) if by_windows else source
    trainer.predict(task, datamodule=data, return_predictions=False)


@pytest.mark.parametrize(
    ("name", "by_windows"), [("a.tif", True), ("a.png", True), ("a.png", False)]
)
def test_images_are_not_replaced_by_their_predictions(tmp_path, name, by_windows):
    if name == "a.tif":
        pytest.importorskip("rasterio")
    images = tmp_path / "images"
    write_image(images / name)
    before = (images / name).read_bytes()
    (tmp_path / "other_name").symlink_to(images)
    with pytest.raises(InputError, match=rf"would replace the image .*{name}.*output_dir"):
        predict(images, tmp_path / "other_name", by_windows)
    assert (images / name).read_bytes() == before
    predict(images, tmp_path / "out", by_windows)
    assert (tmp_path / "out" / name).is_file()


def test_an_image_of_the_name_that_probabilities_would_get_is_not_replaced(tmp_path):
    pytest.importorskip("rasterio")
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "a_probabilities.tif")
    with pytest.raises(InputError, match=r"would replace the image .*a_probabilities.tif"):
        predict(tmp_path, tmp_path, probabilities="uint8")


def test_predictions_of_whole_images_that_would_get_one_name_are_refused(tmp_path):
    write_image(tmp_path / "a_b.png")
    write_image(tmp_path / "a" / "b.png")
    with pytest.raises(InputError, match=r"would both be called a_b.png"):
        predict(tmp_path, tmp_path / "out", by_windows=False)


def finished_again(images, out, **kwargs):
    """Whether a second prediction keeps the first one's file of image ``a``."""
    predict(images, out)
    (out / "a.png").write_bytes(b"kept")
    predict(images, out, **kwargs)
    return (out / "a.png").read_bytes() == b"kept"


def test_what_is_finished_is_kept(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    assert finished_again(tmp_path / "images", tmp_path / "out")


class Settings(nn.Module):
    """A network whose settings are no weights."""

    def __init__(self, mode="nearest", dilation=1, mean=0.5, pool=F.max_pool2d, sizes=(1, 2)):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 1, 3, dilation=dilation)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self._mode = mode
        self.pool = pool
        self.pieces = nn.ModuleList(nn.AvgPool2d(size) for size in sizes)


@pytest.mark.parametrize(
    "setting",
    [
        {"mode": "bilinear"},
        {"dilation": 2},
        {"mean": 0.25},
        {"pool": F.avg_pool2d},
        {"sizes": (1, 3)},
    ],
)
def test_the_fingerprint_holds_what_is_no_weight(setting):
    assert fingerprint(Settings()) == fingerprint(Settings())
    assert fingerprint(Settings().train()) == fingerprint(Settings().eval())
    assert fingerprint(Settings(**setting)) != fingerprint(Settings())


def test_the_fingerprint_of_a_task_is_alike_in_every_process_and_after_a_prediction():
    task = make_task().eval()
    before = fingerprint(task)
    assert " at 0x" not in repr(list(settings_of(task)))
    assert fingerprint(make_task()) == before
    task.infer(torch.zeros(1, 3, 40, 40))
    assert fingerprint(task) == before


def test_a_changed_further_channel_is_no_finished_image(tmp_path):
    for name in ("a.png", "height.png"):
        write_image(tmp_path / name)
    pair = Pair("a", tmp_path / "a.png", extra=tmp_path / "height.png")
    notes = FinishedImages(tmp_path / "out", "way")
    notes.note("a", pair, [])
    assert notes.holds("a", pair)
    assert not notes.holds("a", Pair("a", tmp_path / "a.png"))
    write_image(tmp_path / "height.png", seed=1)
    assert not notes.holds("a", pair)
