"""``lightning-seg predict`` over images of any size."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from lightning.pytorch import Trainer
from PIL import Image

from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.prediction import predict_rasters
from lightning_seg.tasks import SegmentationTask

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")
PREDICT = ("predict", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last")
WINDOWS = ("--model.inference", "windows.yaml", "--data.predict_root")


_trained: list[bytes] = []


@pytest.fixture
def fitted(run, workplace):
    """Folder of a trained run, shared by all tests."""
    checkpoint = Path("run/checkpoints/last.ckpt")
    if not _trained:
        status, _, err = run(*FIT)
        assert status == 0, err
        _trained.append(checkpoint.read_bytes())
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(_trained[0])
    Path("windows.yaml").write_text(
        "class_path: SlidingWindow\n"
        "init_args: {size: [32, 48], overlap: 0.75, batch_size: 4, padding: 16}\n"
    )
    Path("new").mkdir()
    return workplace


def pixels(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_tiff(path, seed=0, height=150, width=130):
    tifffile.imwrite(path, pixels(seed, height, width), photometric="rgb", compression="zlib")


def trained():
    return SegmentationTask.load_from_checkpoint("run/checkpoints/last.ckpt").eval()


def in_memory(task, image):
    """Return the labels of an image as computed in validation and test."""
    tensor = torch.from_numpy(image).permute(2, 0, 1).float()[None] / 255
    with torch.inference_mode():
        return task.infer(tensor)["logits"].argmax(1)[0].numpy()


def predict_here(task, out):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    predict_rasters(task, "new", out, trainer=trainer)  # with the names in the checkpoint
    return {path.name: path.read_bytes() for path in Path(out).glob("*.tif")}


def test_predictions_by_windows_equal_those_in_memory(fitted, run):
    write_tiff(Path("new/tile.tif"))
    Image.fromarray(pixels(1, 60, 70)).save("new/photo.png")
    status, _, err = run(*PREDICT, *WINDOWS, "new")
    assert status == 0, err
    task = trained()
    task.inference = SlidingWindow((32, 48), 0.75, 4, 16)
    folder = Path("run/predictions")
    assert sorted(p.name for p in folder.glob("[!.]*")) == ["photo.png", "tile.tif"]
    tile = tifffile.imread(folder / "tile.tif")
    assert np.array_equal(tile, in_memory(task, pixels(0, 150, 130)))
    assert np.array_equal(Image.open(folder / "photo.png"), in_memory(task, pixels(1, 60, 70)))
    assert len(np.unique(tile)) > 1


def test_one_file_is_predicted_with_its_probabilities_and_polygons(fitted, run):
    pytest.importorskip("pyogrio")
    write_tiff(Path("new/tile.tif"))
    more = ("probabilities=float16", "polygons.format=GeoJSON", "polygons.regular=true")
    more += ("entropy=true", "cloud_optimized=true", "qgis_style=true")
    more = tuple(f"--predictions.{option}" for option in more)
    status, _, err = run(*PREDICT, *WINDOWS, "new/tile.tif", *more)
    assert status == 0, err
    names = {p.name for p in Path("run/predictions").glob("[!.]*")}
    endings = (".tif", "_probabilities.tif", "_entropy.tif", ".geojson", ".qml")
    assert names == {f"tile{ending}" for ending in endings}


def test_the_output_folder_is_printed(fitted, run):
    write_tiff(Path("new/tile.tif"), height=40)
    status, out, err = run(*PREDICT, *WINDOWS, "new", "--predictions.output_dir=elsewhere")
    assert status == 0, err
    assert "Predictions: elsewhere" in out
    assert Path("elsewhere/tile.tif").is_file()


def test_finished_predictions_are_kept_and_changed_images_predicted_again(fitted, run):
    for seed, name in enumerate(("a", "b", "c")):
        write_tiff(Path(f"new/{name}.tif"), seed)
    status, _, err = run(*PREDICT, *WINDOWS, "new")
    assert status == 0, err
    folder = Path("run/predictions")
    before = {name: (folder / f"{name}.tif").stat().st_mtime_ns for name in "abc"}
    (folder / "b.tif").unlink()
    write_tiff(Path("new/c.tif"), 7)
    status, _, err = run(*PREDICT, *WINDOWS, "new")
    assert status == 0, err
    after = {name: (folder / f"{name}.tif").stat().st_mtime_ns for name in "abc"}
    assert after["a"] == before["a"]
    assert after["b"] > before["b"]
    assert after["c"] > before["c"]

    status, _, err = run(*PREDICT, *WINDOWS, "new")
    assert status == 0, err
    assert {name: (folder / f"{name}.tif").stat().st_mtime_ns for name in "abc"} == after
    status, _, err = run(*PREDICT, *WINDOWS, "new", "--model.inference.overlap=0.5")
    assert status == 0, err
    assert (folder / "a.tif").stat().st_mtime_ns > after["a"]


def test_views_of_each_window_are_averaged(fitted):
    write_tiff(Path("new/tile.tif"))
    task = trained()
    task.inference = TestTimeAugmentation((1.0, 1.5), flip=True, window=SlidingWindow((64, 64)))
    predict_here(task, "out")
    window, views = task.inference.window, TestTimeAugmentation((1.0, 1.5), flip=True)
    tensor = torch.from_numpy(pixels(0, 150, 130)).permute(2, 0, 1).float()[None] / 255
    with torch.inference_mode():
        whole = window(lambda crops: views(task.probabilities, crops), tensor)["logits"]
    assert np.array_equal(tifffile.imread("out/tile.tif"), whole.log().argmax(1)[0].numpy())


def test_images_with_equal_file_names_are_refused(fitted, refused):
    Path("new/a").mkdir()
    write_tiff(Path("new/a_b.tif"))
    write_tiff(Path("new/a/b.tif"))
    message = refused(*PREDICT, *WINDOWS, "new")
    assert "would both be named a_b" in message


def test_polygons_of_resized_images_are_refused(fitted, refused):
    resize = '[{"class_path": "albumentations.Resize", "init_args": {"height": 32, "width": 32}}]'
    message = refused(
        *PREDICT,
        "--data.predict_root=my_folder/images",
        f"--data.eval_transforms={resize}",
        "--predictions.probabilities=uint8",
    )
    assert "Remove eval_transforms" in message


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("whole", [False, True])
def test_predictions_never_replace_masks(fitted, run, refused, whole):
    if whole:  # images that transforms change are predicted whole, by another writer
        to_red = '[{"class_path": "albumentations.ToGray", "init_args": {}}]'
        extra = (f"--data.eval_transforms={to_red}",)
    else:
        extra = ()
    before = content("my_folder")
    message = refused(*PREDICT, *extra, "--predictions.output_dir=my_folder/masks")
    assert "masks/" in message
    assert "never replaced" in message
    Path("link").symlink_to("my_folder/masks")
    assert "never replaced" in refused(*PREDICT, *extra, "--predictions.output_dir=link")
    assert content("my_folder") == before
    for _ in range(2):  # own predictions are replaced
        status, _, err = run(*PREDICT, *extra, "--predictions.output_dir=out")
        assert status == 0, err
    assert "another run, run" in refused(
        *PREDICT[:3], "--run_dir=other", "--ckpt_path=run/checkpoints/last.ckpt", *extra,
        "--predictions.output_dir=out", "--predictions.label_values=[0, 1, 2]",
    )  # fmt: skip


def test_results_are_not_written_among_the_images_where_the_next_run_finds_them(fitted, refused):
    write_tiff(Path("new/tile.tif"))
    message = refused(*PREDICT, *WINDOWS, "new", "--predictions.output_dir=new/predictions")
    assert "would also predict the results" in message
    assert [path.name for path in Path("new").iterdir()] == ["tile.tif"]


@pytest.mark.parametrize("name", ["test", "pictures"])
def test_a_folder_that_is_not_a_runs_is_left_alone(fitted, refused, name):
    Path("mine", name).mkdir(parents=True)
    options = ("--config=config.yaml", "--run_dir=mine")
    for command in (("test", "--ckpt_path=run/checkpoints/last.ckpt"), ("fit",)):
        assert f"mine/{name} belongs to no run" in refused(*command, *options)
