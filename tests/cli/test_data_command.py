"""``lightning-seg data``: output, files and exit status."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lightning_seg import cli, testing
from lightning_seg.cli.commands import data as command
from lightning_seg.data import SegmentationDataModule

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs" / "experiment").rglob("*.yaml"))
FOLDER = ["--config", "folder/unet"]
SIX_COLOURS = str([[index, 0, 0] for index in range(6)])
CAMVID = ["--config", str(ROOT / "configs/experiment/camvid/unet.yaml")]
POTSDAM = [
    "--config",
    str(ROOT / "configs/experiment/resunet_a/potsdam.yaml"),
    '--data.train_tiles=["2_10", "7_8"]',
    '--data.val_tiles=["3_12"]',
    '--data.test_tiles=["2_13"]',
    "--data.val_region=null",
    "--data.test_region=null",
    "--data.crop_size=32",
    "--data.num_workers=0",
]


@pytest.fixture
def run(capsys, monkeypatch):
    """Run ``lightning-seg data``; return its exit status, stdout and stderr."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["lightning-seg", "data", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def camvid(tmp_path):
    testing.write_camvid(tmp_path)
    return tmp_path


def check(run, root, *args):
    return run("check", *CAMVID, "--data.root", root, "--data.num_workers=0", *args)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_check_reads_the_data_of_every_experiment(path):
    argv = ["--config", str(path), "--data.num_workers=0"]
    parser = command._parser("check", "", argv)
    module, _ = command._parse(parser, argv)
    assert isinstance(module, SegmentationDataModule)
    assert module.num_workers == 0


def test_correct_data_is_counted_and_the_status_is_0(run, camvid):
    status, out, _ = check(run, camvid, "--data.test_split=test")
    assert status == 0
    assert "No problems found" in out
    for said in ("11 classes", "64 x 48", "2 .png", "pedestrian", "64 64 0", "weight", "6.2%"):
        assert said in out


def test_every_problem_is_listed_and_the_status_is_1(run, camvid):
    (camvid / "trainannot" / "0001TP_006690.png").unlink()
    (camvid / "train" / "0006R0_f00930.png").write_bytes(b"no image")
    label = np.full((48, 64), 3, np.uint8)
    label[5, 6], label[7, 8] = 77, 99
    Image.fromarray(label).save(camvid / "valannot" / "0016E5_07959.png")
    (camvid / "testannot" / "0001TP_008550.png").write_bytes(b"")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(camvid / "testannot" / "Seq05VD_f00000.png")
    status, out, _ = check(run, camvid, "--data.test_split=test")
    assert status == 1
    lines = [line for line in out.splitlines() if line.startswith("Problem: ")]
    for file, split, expected in (
        ("0001TP_006690.png", "train", "without a label"),
        ("0006R0_f00930.png", "train", "cannot be read as an image"),
        ("0016E5_07959.png", "val", "(2 unknown pixels in all: 77, 99)"),
        ("0001TP_008550.png", "test", "cannot be read as an image"),
        ("Seq05VD_f00000.png", "test", "is 9 x 9"),
    ):
        (line,) = [line for line in lines if file in line and expected in line]
        assert line.startswith(f"Problem: {split}: ")
    assert f"{len(lines)} problem(s)." in out


def test_an_image_in_training_and_evaluation_is_detected_by_content(run, camvid):
    name = "0016E5_07959.png"
    for kind in ("", "annot"):
        content = (camvid / f"val{kind}" / name).read_bytes()
        (camvid / f"train{kind}" / "other.png").write_bytes(content)
    status, out, _ = check(run, camvid)
    assert status == 1
    assert f"train and val share an image: {camvid}/train/other.png" in out
    assert "test uses the validation images" in out


def test_an_empty_folder_is_an_error(run, tmp_path):
    status, out, _ = check(run, tmp_path)
    assert status == 1
    assert "train does not exist" in out


def test_large_tiles_are_checked_by_window_and_inexact_colours_reported(run, tmp_path, monkeypatch):
    testing.write_potsdam(tmp_path)
    path = tmp_path / "5_Labels_all" / "top_potsdam_3_12_label.tif"
    label = tifffile.imread(path)
    label[4, 5] = 255, 230, 235
    tifffile.imwrite(path, label, photometric="rgb")
    monkeypatch.setattr("lightning_seg.data.inspection._WHOLE", 1000)
    monkeypatch.setattr("lightning_seg.data.inspection._ROWS", 24)
    status, out, err = run("check", *POTSDAM, "--data.root", tmp_path)
    assert status == 0, out + err
    assert "80 x 64" in out
    assert "nearly a class's colour" in out
    assert "0.20%" in out or "0.05%" in out


def test_samples_are_drawn_with_their_targets(run, tmp_path):
    testing.write_potsdam(tmp_path)
    sheet = tmp_path / "sheet.png"
    status, out, err = run(
        "show", *POTSDAM, "--data.root", tmp_path, "--output", sheet, "--samples=2"
    )
    assert status == 0, err
    assert str(sheet) in out
    with Image.open(sheet) as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 500
        assert image.width > 1000


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "data needs a subcommand. Choose one of check, show"),
        (["chek"], "data has no subcommand chek. Choose one of check, show"),
        (["check"], "data must be given, in a file (--config FILE.yaml)"),
        (["check", "--data.root", "x"], "no configuration is given"),
        (["check", "--config", "data/voc"], "Give it as --data "),
        (
            ["check", *FOLDER, "--data.palette", SIX_COLOURS],
            "num_classes 2, palette 6. Correct one",
        ),
        (["show", *FOLDER, "--data.palette", SIX_COLOURS], "num_classes 2, palette 6. Correct one"),
        (["check", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["check", *CAMVID, "--data.rot", "x"], "Did you mean root?"),
        (["show", *CAMVID, "--samples", "0"], "--samples is 0. Set it to 1 or more"),
        (["show", *CAMVID, "--output", "a.jpg"], "must end in .png"),
        (["show", *CAMVID, "--split", "predict"], "expected train or val or test"),
    ],
)
def test_a_wrong_command_line_gives_one_message(run, args, expected):
    status, _, err = run(*args)
    assert status == 2
    assert expected in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("args", [["--help"], ["check", "--help"], ["show", "--help"]])
def test_help_lists_the_commands(run, args):
    status, out, _ = run(*args)
    assert status == 0
    assert "lightning-seg data" in out


def test_a_class_named_null_is_a_class(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "data:\n  class_path: FolderDataModule\n"
        "  init_args: {root: photos, class_names: [null, shirt, 'null coat']}\n"
    )
    assert command.data_of_run(config).class_names == ("null", "shirt", "null coat")
