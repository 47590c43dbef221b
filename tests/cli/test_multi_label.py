"""Pixels with several labels, from files to maps by the command line."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
import torch
import yaml
from lightning.pytorch import Trainer
from PIL import Image
from torchmetrics.classification import MultilabelF1Score, MultilabelJaccardIndex

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.data import FolderDataModule
from lightning_seg.errors import InputError
from lightning_seg.inference import SlidingWindow
from lightning_seg.tasks import SegmentationTask

NAMES = ["roof", "building", "shadow"]
FIT = [
    "fit",
    "--config",
    "config.yaml",
    "--run_dir",
    "run",
    "--trainer.max_epochs",
    "12",
    "--data.root",
    "town",
    "--data.multi_label",
    "true",
    "--data.num_classes",
    "null",
    "--data.class_names",
    "[roof,building,shadow]",
    "--model.head",
    "ClassificationHead",
    "--model.losses.distance",
    "null",
    "--model.losses.dice.loss",
    "DiceLoss",
]
EVALUATE = ("--config", "run/config.yaml", "--ckpt_path", "last")
WINDOWS = ("--model.inference", "SlidingWindow", "--model.inference.size", "[32, 32]")
TRANSFORM = rasterio.Affine(0.5, 0, 1000, 0, -0.5, 2000)


def draw(seed, size=48):
    """Return an image of a building, its roof inside and its shadow across, and their mask."""
    random = np.random.default_rng(seed)
    row, column = random.integers(2, 14, 2)
    mask = np.zeros((size, size, 3), np.uint8)
    mask[row : row + 28, column : column + 28, 1] = 1
    mask[row + 6 : row + 22, column + 6 : column + 22, 0] = 1
    mask[row + 14 : row + 32, column + 14 : column + 32, 2] = 1
    image = (40 + 140 * mask + random.integers(0, 30, mask.shape)).astype(np.uint8)
    mask[:2, :, 2] = 255
    return image, mask


def draw_town(root, count=8):
    for name in ("images", "masks"):
        Path(root, name).mkdir(parents=True)
    for seed in range(count):
        image, mask = draw(seed)
        Image.fromarray(image).save(Path(root, "images", f"{seed}.png"))
        tifffile.imwrite(Path(root, "masks", f"{seed}.tif"), mask, photometric="rgb")


def trained():
    return SegmentationTask.load_from_checkpoint("run/checkpoints/last.ckpt").eval()


def probabilities(task, image):
    tensor = torch.from_numpy(image).permute(2, 0, 1).float()[None] / 255
    with torch.inference_mode():
        return task.infer(tensor)["logits"].sigmoid()[0]


@pytest.fixture
def town(run, workplace):
    draw_town("town")
    status, _, err = run(*FIT)
    assert status == 0, err
    return workplace


def test_from_files_to_maps(town, run):
    task = trained()
    assert task.multi_label
    assert task.class_names == tuple(NAMES)
    status, _, err = run("test", *EVALUATE)
    assert status == 0, err
    metrics = json.loads(Path("run/test/metrics.json").read_text())
    with Path("run/test/per_image.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    drawn = [draw(int(name)) for name in names]
    scores = torch.stack([probabilities(task, image) for image, _ in drawn])
    target = torch.stack([torch.from_numpy(mask).permute(2, 0, 1) for _, mask in drawn]).long()
    for name, kind in (("iou", MultilabelJaccardIndex), ("f1", MultilabelF1Score)):
        expected = kind(3, ignore_index=255)(scores, target).item()
        assert metrics["scalars"][name] == pytest.approx(expected, abs=1e-6)
    assert metrics["scalars"]["iou"] > 0.5
    assert {path.stem for path in Path("run/pictures/test").iterdir()} == set(names[:4])
    with Path("run/test/per_class.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == NAMES

    check_maps(run, task)
    check_refused(run)
    check_checkpoint_alone(run, task)
    check_export(run, task)


def test_init_writes_a_configuration_that_trains_tests_and_predicts(run, workplace):
    draw_town("town")
    status, out, err = run("init", "town", "--classes", *NAMES)
    assert status == 0, err
    assert "masks of 3 classes (a band each)" in out
    assert "bands is taken for a class (multi_label), and pixels may have several" in out
    assert "255 is taken for ignored pixels" in out
    data = yaml.safe_load(Path("town.yaml").read_text())["data"]["init_args"]
    assert (data["multi_label"], data["class_names"]) == (True, NAMES)
    lines = [line for line in out.splitlines() if line.startswith("  lightning-seg")]
    small = (
        "--trainer.max_epochs=1",
        "--data.num_workers=0",
        "--model.network.encoder=test_resnet",
    )
    for line in lines[:4]:
        words = shlex.split(line)[1:]
        status, _, err = run(*words, *(small if words[0] == "fit" else ()))
        assert status == 0, err
    with rasterio.open(next(Path("runs/town/predictions").glob("*.tif"))) as file:
        assert file.descriptions == tuple(NAMES)


def check_maps(run, task):
    """A photo and a raster get a file each with a band of 0 and 1 for each class."""
    Path("new").mkdir()
    photo, tile = draw(20, 70)[0], draw(21, 64)[0]
    Image.fromarray(photo).save("new/photo.png")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 64, "width": 64}
    with rasterio.open("new/tile.tif", "w", **profile, crs="EPSG:32632", transform=TRANSFORM,
                       nodata=0) as file:  # fmt: skip
        tile[:, :4] = 0
        file.write(tile.transpose(2, 0, 1))
    options = ("--data.predict_root", "new", "--predictions.probabilities", "float16")
    status, _, err = run("predict", *EVALUATE, *WINDOWS, *options)
    assert status == 0, err
    task.inference = SlidingWindow((32, 32))
    for name, image in {"photo": photo, "tile": tile}.items():
        expected = probabilities(task, image)
        with rasterio.open(f"run/predictions/{name}.tif") as file:
            assert file.descriptions == tuple(NAMES)
            labels = file.read()
            if name == "tile":
                assert (file.crs.to_epsg(), file.transform) == (32632, TRANSFORM)
                assert (labels[..., :4] == 255).all()
                assert file.nodata == 255
        valid = slice(4 if name == "tile" else 0, None)
        assert np.array_equal(labels[..., valid], (expected > 0.5).numpy()[..., valid])
        assert (labels[..., valid].sum(axis=0) > 1).any()
        with rasterio.open(f"run/predictions/{name}_probabilities.tif") as file:
            assert np.abs(file.read() - expected.numpy()).max() < 1e-3
    values = ("--predictions.label_values", "[0, 255]", "--predictions.output_dir", "black")
    status, _, err = run("predict", *EVALUATE, "--data.predict_root", "new", *values)
    assert status == 0, err
    with rasterio.open("black/photo.tif") as file:
        assert np.unique(file.read()).tolist() == [0, 255]
    task.inference = None


def check_refused(run):
    """What has one label per pixel is refused by name, before the first step."""
    predict = ("predict", *EVALUATE, "--data.predict_root", "new")
    for option in ("polygons.format=GeoJSON", "entropy=true", "qgis_style=true"):
        status, _, err = run(*predict, f"--predictions.{option}")
        assert status == 2
        assert f"predictions.{option.split('=')[0].split('.')[0]} is for one label" in err
    resize = "[{class_path: albumentations.Resize, init_args: {height: 32, width: 32}}]"
    status, _, err = run(*predict, "--data.eval_transforms", resize)
    assert status == 2
    assert "in their original form. Remove eval_transforms" in err
    status, _, err = run("test", *EVALUATE, "--data.multi_label", "false", "--data.palette", "null")
    assert status == 2
    assert "colour label" in err
    data = FolderDataModule("town", class_names=NAMES, multi_label=True, num_workers=0)
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    with pytest.raises(InputError, match="PredictionWriter writes one label per pixel"):
        Trainer(callbacks=PredictionWriter("out"), **quiet).predict(trained(), datamodule=data)
    status, _, err = run(*FIT, "--run_dir", "other", "--model.head", "SignedDistanceHead")
    assert status == 2
    assert "there can be no SignedDistanceHead" in err


def check_checkpoint_alone(run, task):
    options = ("--ckpt_path", "run/checkpoints/last.ckpt", "--predictions.output_dir", "alone")
    status, _, err = run("predict", *options, "--data.predict_root", "new/photo.png")
    assert status == 0, err
    with rasterio.open("alone/photo.tif") as file:
        expected = probabilities(task, draw(20, 70)[0]) > 0.5
        assert np.array_equal(file.read(), expected.numpy())


def check_export(run, task):
    for result in ("labels", "logits"):
        output = f"{result}.pt2"
        status, out, err = run(
            "export", "--run_dir", "run", "--ckpt_path", "last", "--output", output,
            "--result", result,
        )  # fmt: skip
        assert status == 0, err
        described = {
            "labels": "uint8 (batch, 3, height, width) of 0 and 1",
            "logits": "with a sigmoid for each class",
        }
        for kind, text in described.items():
            assert (text in out) == (kind == result)
        image = torch.from_numpy(draw(20, 70)[0]).permute(2, 0, 1).float()[None] / 255
        made = torch.export.load(output).module()(image)
        with torch.inference_mode():
            logits = task(image)["logits"]
        if result == "labels":
            assert made.dtype == torch.uint8
            assert (made == (logits > 0)).float().mean() > 0.999
        else:
            assert (made - logits).abs().max() < 1e-3
