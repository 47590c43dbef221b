from functools import partial

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from lightning_seg import testing
from lightning_seg.cli.commands.same_frames import (
    draw_frames,
    load_method,
    names_by_difference,
    predict_frames,
    run,
)
from lightning_seg.data import FolderDataModule
from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.losses import CrossEntropyLoss, WeightedLoss
from lightning_seg.networks import Unet
from lightning_seg.tasks import SegmentationTask

pytestmark = pytest.mark.filterwarnings("ignore")


def write_run(folder, data, seed, **settings):
    """Write the folder of a run with an untrained network."""
    torch.manual_seed(seed)
    network = partial(Unet, encoder="test_resnet", decoder_channels=(16, 8))
    losses = {"cross_entropy": WeightedLoss(CrossEntropyLoss())}
    task = SegmentationTask(3, 3, network, ClassificationHead, losses)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=0)
    trainer.strategy.connect(task)
    for name in ("best", "last"):
        trainer.save_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
    init = {"root": str(data), "num_classes": 3, "num_workers": 0} | settings
    config = {
        "seed_everything": 1,
        "data": {"class_path": "FolderDataModule", "init_args": init},
        "model": {"class_path": "SegmentationTask"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def runs(tmp_path):
    testing.write_folder(tmp_path / "data")
    return [write_run(tmp_path / name, tmp_path / "data", n) for n, name in enumerate("ab")]


def frame_names(tmp_path):
    data = FolderDataModule(tmp_path / "data", num_classes=3)
    return [pair.name for pair in data.pairs("val")]


def test_a_run_of_a_grid_has_an_equals_sign_in_its_folder(tmp_path, runs, monkeypatch):
    folder = (tmp_path / "a").rename(tmp_path / "line.weight=0.1")
    monkeypatch.chdir(tmp_path)
    for argument, name in ((folder.name, folder.name), (f"weak={folder.name}", "weak")):
        assert load_method(argument, "best").name == name
    run([f"weak={folder.name}", "--data.root=data", "--data.num_workers", "0", "--count", "1"])
    assert (tmp_path / "frames.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["x/dice/seed1", "x/sobel/seed1"], ["dice", "sobel"]),
        (["x/dice/seed1", "x/dice/seed2", "y/dice/seed1"], ["x/dice/seed1", "x/dice/seed2",
                                                            "y/dice/seed1"]),
        (["x/a=0.1/seed1", "x/a=0.2/seed1", "best=x/a=0.3/seed1"], ["a=0.1", "a=0.2"]),
        (["seed1", "x/seed1"], ["seed1", "x/seed1"]),
        (["x/../a/seed1", "x/seed1"], ["a", "x"]),
        (["a", "a/b/a"], []),
        (["x/seed1", "x/seed2"], []),
        (["x/seed1", "x/seed1"], []),
        (["x/seed1"], []),
    ],
)  # fmt: skip
def test_runs_whose_folders_have_one_name_are_named_by_their_paths(
    arguments, names, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for argument in arguments:
        (tmp_path / argument.removeprefix("best=")).mkdir(parents=True, exist_ok=True)
    expected = dict(zip([one for one in arguments if not one.startswith("best=")], names))
    assert names_by_difference(arguments) == expected


def test_runs_of_one_seed_are_drawn_without_names(tmp_path, runs):
    for run_dir in runs:  # a/seed1 and b/seed1
        run_dir.rename(tmp_path / "moved")
        run_dir.mkdir()
        (tmp_path / "moved").rename(run_dir / "seed1")
    arguments = [str(runs[0] / "seed1"), str(runs[1] / "seed1" / "checkpoints" / "last.ckpt")]
    run([*arguments, "--count", "1", "--output", str(tmp_path / "x.png")])
    assert (tmp_path / "x.png").is_file()


def test_every_run_predicts_the_named_frames_as_in_validation(tmp_path, runs):
    methods = [load_method(str(runs[0]), "best"), load_method(f"second={runs[1]}", "last")]
    (name, *_) = frame_names(tmp_path)
    (frame,) = predict_frames(methods, "val", [name], count=9)
    assert frame.name == name
    assert list(frame.logits) == ["a", "second"]
    sample = methods[0].data.dataset("val", methods[0].data.pairs("val"))[0]
    assert sample["name"] == name
    assert np.array_equal(frame.truth, sample["mask"])
    for method in methods:
        with torch.inference_mode():
            expected = method.task.infer(sample["image"][None])["logits"][0]
        torch.testing.assert_close(frame.logits[method.name], expected)
    assert not torch.equal(*frame.logits.values())


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def test_the_sheet_has_rows_per_frame_and_a_column_per_run(tmp_path, runs):
    methods = [load_method(str(path), "best") for path in runs]
    frames = predict_frames(methods, "val", None, count=1)
    truth, data = frames[0].truth, methods[0].data
    frames[0].logits["a"] = torch.eye(4)[np.where(truth < 3, truth, 3)].permute(2, 0, 1)[:3]
    kinds = ("prediction", "errors", "boundaries", "over_image", "entropy")
    figure = draw_frames(frames, data.class_names, data.class_colors, kinds)
    shown = titles(figure)
    assert shown[:3] == [frames[0].name, "a", "b"]
    assert "ground truth" in shown
    assert shown.count("0.0% wrong") == 1
    assert any(title.startswith("0.0% wrong within") for title in shown)
    assert len(shown) == 2 + 5 * 2 + 1  # and the entropy's colour scale
    figure = draw_frames(frames, data.class_names, data.class_colors, ("errors",), positive=1)
    assert titles(figure)[:3] == [frames[0].name, "ground truth", "a, 0.0% wrong"]


def test_many_runs_go_down_the_sheet_beside_the_frames(tmp_path, runs):
    methods = [load_method(f"run {number}={runs[0]}", "best") for number in range(7)]
    frames = predict_frames(methods, "val", None, count=2)
    figure = draw_frames(frames, methods[0].data.class_names, methods[0].data.class_colors)
    cells = [(axis.get_position(), axis.get_title()) for axis in figure.axes]
    names = {round(place.y0, 3): title for place, title in cells if title.startswith("run")}
    assert [names[y] for y in sorted(names, reverse=True)] == [f"run {n}" for n in range(7)]
    assert len({round(place.x0, 3) for place, _ in cells}) == 2 * len(frames)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_sheet_can_be_made_from_checkpoints(tmp_path, runs, suffix, capsys):
    checkpoint = runs[1] / "checkpoints" / "last.ckpt"
    output = tmp_path / "sheets" / f"frames{suffix}"
    run([str(runs[0]), f"b={checkpoint}", "--count", "1", "--output", str(output)])
    pixels = cv2.imread(str(output))
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 20
    assert str(output) in capsys.readouterr().out


def test_data_options_override_those_of_all_runs(tmp_path, runs):
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    run([*map(str, runs), "--data.root", str(moved), "--output", str(tmp_path / "x.png")])
    assert (tmp_path / "x.png").is_file()


def test_runs_that_cannot_be_compared_are_refused(tmp_path, runs):
    other = write_run(
        tmp_path / "small", tmp_path / "data", 3,
        eval_transforms=[{"class_path": "albumentations.Resize",
                          "init_args": {"height": 16, "width": 16}}],
    )  # fmt: skip
    first = str(runs[0])
    for arguments, message in (
        ([first, str(other)], "pixels to small, but"),
        ([first, first], "Several runs are called a"),
        ([first, "--names", "nothing"], "--names nothing: there is no such image in val"),
        ([first, "--positive_class", "car"], "--positive_class car is not a class"),
        ([first, "--output", "x.bmp"], "--output is x.bmp"),
        ([str(tmp_path / "none")], "is not a run"),
    ):
        with pytest.raises(InputError, match=message):
            run(["--output", str(tmp_path / "x.png"), *arguments])
