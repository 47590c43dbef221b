"""Names of prediction files, and when existing ones are kept."""

import os
import warnings
from functools import partial

import albumentations as A
import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer
from PIL import Image
from torch import nn

from lightning_seg import testing
from lightning_seg.data import (
    CityscapesDataModule,
    FolderDataModule,
    INRIADataModule,
    ISPRSDataModule,
)
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.prediction import Polygons, PredictionFiles, geotiff
from lightning_seg.prediction.predict import predict as predict_data
from lightning_seg.prediction.progress import Progress, settings_hash, settings_of
from lightning_seg.tasks import SegmentationTask

pytestmark = pytest.mark.filterwarnings("ignore")


def make_task(num_classes=3):
    torch.manual_seed(0)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    window = SlidingWindow((32, 32))
    return SegmentationTask(num_classes, 3, network, ClassificationHead, losses, inference=window)


def write_image(path, seed=0, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", **tags)
    else:
        Image.fromarray(pixels).save(path)


def predict(images, out, by_windows=True, num_classes=3, inference=None, **kwargs):
    transforms = None if by_windows else [A.NoOp()]
    data = FolderDataModule(
        images, num_classes, predict_root=images, num_workers=0, eval_transforms=transforms
    )
    task = make_task(num_classes)
    task.inference = inference or task.inference
    predict_data(task, data, out, PredictionFiles(**kwargs), quiet_trainer())


def quiet_trainer():
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )


@pytest.mark.parametrize(
    ("name", "by_windows"), [("a.tif", True), ("a.png", True), ("a.png", False)]
)
def test_predictions_never_overwrite_their_images(tmp_path, name, by_windows):
    if name == "a.tif":
        pytest.importorskip("rasterio")
    images = tmp_path / "images"
    write_image(images / name)
    before = (images / name).read_bytes()
    (tmp_path / "other_name").symlink_to(images)
    with pytest.raises(InputError, match=rf"would overwrite the image .*{name}.*output_dir"):
        predict(images, tmp_path / "other_name", by_windows)
    assert (images / name).read_bytes() == before
    predict(images, tmp_path / "out", by_windows)
    assert (tmp_path / "out" / name).is_file()


@pytest.mark.parametrize(
    ("pattern", "found_again"), [("**/*.png", True), ("*/*.png", True), ("*.png", False)]
)
def test_results_are_not_written_where_the_pattern_of_images_finds_them(
    tmp_path, pattern, found_again
):
    write_image(tmp_path / "tiles/a.png")
    write_image(tmp_path / "tiles/b/a.png")
    images, out = str(tmp_path / "tiles" / pattern), tmp_path / "tiles/out"
    if found_again:
        with pytest.raises(InputError, match="would also predict the results"):
            predict(images, out)
        assert not out.exists()
    else:
        predict(images, out)
        predict(images, out)
        assert [path.name for path in out.glob("*.png")] == ["a.png"]


def test_probabilities_never_overwrite_an_image(tmp_path):
    pytest.importorskip("rasterio")
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "a_probabilities.tif")
    with pytest.raises(InputError, match=r"would overwrite the image .*a_probabilities.tif"):
        predict(tmp_path, tmp_path, probabilities="uint8")


def test_predictions_with_equal_file_names_are_refused(tmp_path):
    write_image(tmp_path / "a_b.png")
    write_image(tmp_path / "a" / "b.png")
    with pytest.raises(InputError, match=r"would both be named a_b.png"):
        predict(tmp_path, tmp_path / "out", by_windows=False)


@pytest.mark.parametrize("eval_batch_size", [1, 3])
def test_padding_is_removed_before_labels_are_resized_to_the_image(tmp_path, eval_batch_size):
    sizes = {"wide": (40, 64), "also_wide": (40, 64), "high": (64, 36)}
    (tmp_path / "images").mkdir()
    for seed, (name, size) in enumerate(sizes.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    data = FolderDataModule(
        tmp_path / "images",
        3,
        predict_root=tmp_path / "images",
        num_workers=0,
        eval_batch_size=eval_batch_size,
        eval_transforms=[
            A.LongestMaxSize(32, p=1.0),
            A.PadIfNeeded(32, 32, border_mode=0, fill=0, fill_mask=255, p=1.0),
        ],
    )
    task = make_task()
    predict_data(task, data, tmp_path / "out", trainer=quiet_trainer())
    task.eval()
    for name, size in sizes.items():
        labels = np.array(Image.open(tmp_path / "out" / f"{name}.png"))
        assert labels.shape == size
        image = np.array(Image.open(tmp_path / "images" / f"{name}.png"))
        small = A.LongestMaxSize(32, p=1.0)(image=image)["image"]
        height, width = small.shape[:2]
        top, left = (32 - height) // 2, (32 - width) // 2
        padded = np.zeros((32, 32, 3), np.float32)
        padded[top : top + height, left : left + width] = small / np.float32(255)
        with torch.no_grad():
            scores = task.infer(torch.from_numpy(padded).permute(2, 0, 1)[None])["logits"]
        inside = scores[..., top : top + height, left : left + width]
        expected = F.interpolate(inside, size=size, mode="bilinear").argmax(dim=1)[0]
        assert (labels == expected.numpy()).mean() > 0.999


IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def predicted_of(data, num_classes, out, **kwargs):
    predict_data(make_task(num_classes), data, out, PredictionFiles(**kwargs), quiet_trainer())


@pytest.mark.parametrize("by_windows", [True, False])
def test_cityscapes_predictions_are_grey_pngs_of_label_ids(tmp_path, by_windows):
    testing.write_cityscapes(tmp_path / "data", size=(32, 64))
    transforms = None if by_windows else [A.NoOp()]
    data = CityscapesDataModule(
        tmp_path / "data", predict_split="test", num_workers=0, eval_transforms=transforms
    )
    predicted_of(data, 19, tmp_path / "plain")
    predicted_of(data, 19, tmp_path / "ids", label_values="dataset")
    name = "berlin_000000_000003.png"
    plain, ids = (Image.open(tmp_path / folder / name) for folder in ("plain", "ids"))
    assert ids.mode == "L"
    assert ids.size == (64, 32)
    np.testing.assert_array_equal(np.array(ids), np.array(IDS)[np.array(plain)])
    assert [path.name for path in (tmp_path / "ids").glob("*.png")] == [name]


def test_inria_predictions_hold_0_and_255_and_keep_the_georeference(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    testing.write_inria(tmp_path / "data")
    image = tmp_path / "data" / "test" / "images" / "sfo36.tif"
    transform = rasterio.Affine(0.3, 0, 500, 0, -0.3, 900)
    with rasterio.open(image, "r+") as file:
        file.transform, file.crs = transform, rasterio.CRS.from_epsg(26910)
    data = INRIADataModule(tmp_path / "data", num_workers=0)
    predicted_of(data, 2, tmp_path / "plain")
    predicted_of(data, 2, tmp_path / "out", label_values="dataset")
    with (
        rasterio.open(tmp_path / "plain" / "sfo36.tif") as plain,
        rasterio.open(tmp_path / "out" / "sfo36.tif") as out,
    ):
        assert out.transform == transform
        np.testing.assert_array_equal(out.read(1), plain.read(1) * 255)
        assert out.colorinterp[0].name == "gray"


def test_label_values_can_be_given(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    for by_windows in (True, False):
        predict(tmp_path / "images", tmp_path / "out", by_windows, label_values=[5, 0, 255])
        values = np.unique(np.array(Image.open(tmp_path / "out" / "a.png")))
        assert set(values.tolist()) <= {5, 0, 255}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1], "expected 3 different values"),
        ([0, 1, 1], "expected 3 different values"),
        ([0, 1, 256], "one value from 0 to 255 per class"),
        ("class", "one value from 0 to 255 per class"),
    ],
)
def test_label_values_that_do_not_fit_the_classes_are_refused(tmp_path, values, message):
    write_image(tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match=message):
        predict(tmp_path / "images", tmp_path / "out", label_values=values)


def test_a_dataset_with_colour_labels_has_no_label_values(tmp_path):
    testing.write_potsdam(tmp_path)
    data = ISPRSDataModule(tmp_path, test_tiles=["2_13"], num_workers=0)
    with pytest.raises(InputError, match="defines no label value for each class"):
        predicted_of(data, 6, tmp_path / "out", label_values="dataset")


def test_images_are_predicted_again_with_other_label_values(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    assert not finished_again(tmp_path / "images", tmp_path / "out", label_values=[0, 1, 255])


def finished_again(images, out, **kwargs):
    """Return True if a second prediction keeps the first one's file of image ``a``."""
    predict(images, out)
    before = (out / "a.png").stat()
    predict(images, out, **kwargs)
    return (out / "a.png").stat() == before


def test_finished_predictions_are_kept(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    assert finished_again(tmp_path / "images", tmp_path / "out")


def test_a_prediction_edited_by_hand_is_kept(tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    write_image(images / "a.png")
    predict(images, out)
    (out / "a.png").write_bytes(b"by hand")
    write_image(images / "b.png")
    predict(images, out)
    assert (out / "b.png").is_file()
    with pytest.raises(InputError, match=r"a.png was not written by lightning-seg, or has been"):
        predict(images, out, label_values=[0, 1, 255])
    assert (out / "a.png").read_bytes() == b"by hand"


class Settings(nn.Module):
    """A network with settings besides its weights."""

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
def test_the_settings_hash_covers_every_setting_but_weights_and_mode(setting):
    assert settings_hash(Settings()) == settings_hash(Settings())
    assert settings_hash(Settings().train()) == settings_hash(Settings().eval())
    assert settings_hash(Settings(**setting)) != settings_hash(Settings())


def test_the_settings_hash_of_a_task_is_stable_across_processes_and_predictions():
    task = make_task().eval()
    before = settings_hash(task)
    assert " at 0x" not in repr(list(settings_of(task)))
    assert settings_hash(make_task()) == before
    task.infer(torch.zeros(1, 3, 40, 40))
    assert settings_hash(task) == before


def test_an_image_with_a_changed_extra_channel_is_not_finished(tmp_path):
    for name in ("a.png", "height.png"):
        write_image(tmp_path / name)
    pair = Pair("a", tmp_path / "a.png", extra=tmp_path / "height.png")
    notes = Progress(tmp_path / "out", "way")
    notes.note("a", notes.key(pair), [])
    assert notes.holds("a", notes.key(pair))
    assert not notes.holds("a", notes.key(Pair("a", tmp_path / "a.png")))
    os.utime(tmp_path / "height.png", ns=(1, 1))  # as if written anew, at another time
    assert not notes.holds("a", notes.key(pair))


@pytest.mark.parametrize("name", ["a.png.aux.xml", "a.png.msk", "a.tfw"])
def test_an_image_with_a_new_file_of_its_place_or_mask_is_not_finished(tmp_path, name):
    write_image(tmp_path / "a.png")
    pair, notes = Pair("a", tmp_path / "a.png"), Progress(tmp_path / "out", "way")
    notes.note("a", notes.key(pair), [])
    (tmp_path / name).write_text("<PAMDataset/>")
    assert not notes.holds("a", notes.key(pair))


def test_more_than_255_classes_are_refused(tmp_path):
    write_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"There are 256 classes.*at most 255 classes"):
        predict(tmp_path, tmp_path / "out", num_classes=256)


def test_an_option_that_needs_windows_names_the_setting_that_prevents_them(tmp_path):
    data = ISPRSDataModule(tmp_path, predict_root=tmp_path, eval_transforms=[A.NoOp()])
    with pytest.raises(InputError, match=r"images in their original form.*Remove eval_transforms"):
        predicted_of(data, 6, tmp_path / "out", probabilities="uint8")


# ModelPixelScale and ModelTiepoint.
PLACE = [(33550, "d", 3, (1.0, 1.0, 0.0), True), (33922, "d", 6, (0, 0, 0, 3e5, 5e6, 0), True)]
TURNED = [(274, "H", 1, 6, True)]


@pytest.mark.parametrize(
    ("tags", "by_windows", "has_rasterio", "reason"),
    [
        (PLACE, True, True, None),
        (TURNED, True, True, None),
        ([], True, False, None),
        ([], False, True, None),
        (PLACE + TURNED, True, True, "stored rotated"),
        (PLACE, True, False, "need rasterio"),
        (PLACE, False, True, "predicted whole"),
    ],
)
def test_a_lost_georeference_is_warned_about_once(
    tmp_path, monkeypatch, tags, by_windows, has_rasterio, reason
):
    pytest.importorskip("rasterio")
    if not has_rasterio:
        monkeypatch.setattr(geotiff, "rasterio", None)
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.tif", extratags=tags)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict(tmp_path / "images", tmp_path / "out", by_windows)
    warned = [str(w.message) for w in caught if "will have no georeference" in str(w.message)]
    assert len(warned) == (reason is not None)
    assert all("a.tif (and others like it)" in text and reason in text for text in warned)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.5)])
def test_scaling_by_window_is_logged(tmp_path, caplog, scales):
    write_image(tmp_path / "images" / "a.png")
    inference = TestTimeAugmentation(scales, window=SlidingWindow((32, 32)))
    with caplog.at_level("INFO"):
        predict(tmp_path / "images", tmp_path / "out", inference=inference)
    assert ("Each window is scaled by itself" in caplog.text) == (len(scales) > 1)


@pytest.mark.parametrize(
    ("given", "expected"), [("dataset", "dataset"), ("[0, 255]", [0, 255]), ("null", None)]
)
def test_label_values_are_an_option_of_the_command_line(given, expected):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(PredictionFiles, "predictions")
    parsed = parser.parse_args([f"--predictions.label_values={given}"])
    assert parser.instantiate(parsed).predictions.label_values == expected
    again = parser.parse_string(parser.dump(parsed))
    assert again.predictions.label_values == expected


def tiff_with(path, **placed):
    rasterio = pytest.importorskip("rasterio")
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=40, height=36, count=3, dtype="uint8", **placed
    ) as file:
        file.write(np.random.default_rng(0).integers(0, 255, (3, 36, 40), np.uint8))
    return path


def test_outlines_of_images_placed_by_ground_control_points_warn_that_they_are_in_pixels(tmp_path):
    pytest.importorskip("pyogrio")
    control = pytest.importorskip("rasterio.control").GroundControlPoint
    points = [control(r, c, 5 + c / 99, 50 - r / 99) for r in (0, 36) for c in (0, 40)]
    tiff_with(tmp_path / "images" / "a.tif", gcps=points, crs="EPSG:4326")
    with pytest.warns(UserWarning, match=r"outlines of .*a.tif .*will be in pixels"):
        predict(tmp_path / "images", tmp_path / "out", polygons=Polygons())


@pytest.mark.filterwarnings("ignore")
def test_labels_keep_rational_polynomials(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    rpc = pytest.importorskip("rasterio.rpc").RPC
    given = rpc(1, 2, 3, 4, [0.1] * 20, [0.2] * 20, 5, 6, 7, 8, [0.3] * 20, [0.4] * 20, 9, 10)
    tiff_with(tmp_path / "images" / "a.tif", rpcs=given)
    predict(tmp_path / "images", tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "a.tif") as labels:
        assert labels.rpcs.line_num_coeff == given.line_num_coeff


def test_a_world_file_that_is_not_read_gives_one_warning(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "a.pgw").write_text("1\n0\n0\n-1\n500\n700\n")
    with pytest.warns(UserWarning, match=r"a.png .*no georeference: its world file is not read"):
        predict(tmp_path / "images", tmp_path / "out")


def test_an_image_is_predicted_again_once_a_file_that_its_vrt_names_changes(tmp_path):
    rasterio = pytest.importorskip("rasterio.shutil")
    write_image(tmp_path / "tiles" / "a.tif")
    (tmp_path / "images").mkdir()
    rasterio.copy(tmp_path / "tiles" / "a.tif", tmp_path / "images" / "a.vrt", driver="VRT")
    pair = Pair("a", tmp_path / "images" / "a.vrt")
    progress = Progress(tmp_path / "out", "settings")
    before = progress.key(pair)
    assert progress.key(pair) == before
    write_image(tmp_path / "tiles" / "a.tif", seed=1)
    os.utime(tmp_path / "tiles" / "a.tif", (1, 1))
    assert progress.key(pair) != before
