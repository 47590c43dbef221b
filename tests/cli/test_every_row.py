"""Every row of the papers' tables: its command parses, and trains on a tiny copy of its data."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lightning_seg import testing
from lightning_seg.data import ISPRSDataModule

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))

import make_experiments  # noqa: E402

ROWS = make_experiments.rows()
each_row = pytest.mark.parametrize("name", ROWS)


def outline(row):
    """Return a row's files and option names, each with its experiment."""
    words = shlex.split(row["fit"])
    said = [word for word in words if word.startswith("-") or word.endswith(".yaml")]
    return {(said[1], word) for word in said}


def first_of_a_kind(rows):
    """Return rows with a file or option that no earlier row adds to the same experiment."""
    seen, actual = set(), set()
    for name, row in rows.items():
        if outline(row) - seen:
            actual.add(name)
        seen |= outline(row)
    return actual


# These are parsed at once, the others with the slow tests.
FIRST = first_of_a_kind(ROWS)
each_row_some_slow = pytest.mark.parametrize(
    "name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in ROWS]
)

# Where the configurations look for each dataset.
DATA = {
    "camvid": testing.write_camvid,
    "vaihingen": testing.write_vaihingen,
    "potsdam": testing.write_potsdam,
    "AerialImageDataset": testing.write_inria,
    "dfc2015": testing.write_dfc2015,
    "sunrgbd": testing.write_sunrgbd,
    "VOCdevkit/VOC2012": testing.write_voc,
    "cityscapes": testing.write_cityscapes,
    "helen": testing.write_helen,
    "CelebAMask-HQ": testing.write_celebamask_hq,
}

ISPRS = ("vaihingen", "potsdam")

# Encoders that are too large for two steps of crops of some 500 pixels.
REPLACED = {"resnet50", "resnet101", "resnet34", "wide_resnet50_2", "xception71"}


def arguments(row):
    """Return the words of a row's command, with absolute paths of its files."""
    words = shlex.split(make_experiments.fit_command(row))[1:]
    return [str(ROOT / word) if word.startswith("configs/") else word for word in words]


def test_docs_experiments_is_up_to_date():
    assert make_experiments.PAGE.read_text(encoding="utf-8") == make_experiments.page()


@each_row_some_slow
def test_a_row_parses(name, run):
    status, out, err = run(*arguments(ROWS[name]), "--print_config")
    assert status in (0, None), err
    assert "class_path: lightning_seg.tasks." in out


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Tiny copies of all datasets, in the folders that the configurations name."""
    root = tmp_path_factory.mktemp("datasets")
    for folder, write in DATA.items():
        # Folds ask for the tiles of the whole benchmark, or for ten faces.
        every = {"tiles": ISPRSDataModule(area=folder).tiles} if folder in ISPRS else {}
        if folder == "CelebAMask-HQ":
            every = {"more": 8}
        # Crops of 96 x 96 pad no frame of CamVid; it has larger ones.
        size = (96, 128) if folder == "camvid" else (80, 96)
        write(root / "data" / folder, size=size, **every)
    return root / "data"


def small(config):
    """Return options that shrink a row but keep its method."""
    options = {
        "data.batch_size": 2,
        "data.num_workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.precision": "32-true",
        "trainer.max_steps": 2,
        "trainer.limit_val_batches": 1,
        "trainer.accumulate_grad_batches": 1,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
    }
    data = config["data"]["init_args"]
    if data.get("crop_size"):
        options |= {"data.crop_size": 64, "data.samples_per_epoch": 4}
    if data.get("val_region"):  # what is left of a tiny tile
        options |= {"data.crop_size": 24, "data.crop_stride": 12}
    if data.get("train_transforms"):
        options["data.train_transforms"] = json.dumps([cut(t) for t in data["train_transforms"]])
    network = config["model"]["init_args"].get("network", {"init_args": {}})
    if "pretrained" in network["init_args"]:
        options |= {"model.network.pretrained": "false", "model.network.weights": "null"}
    if network["init_args"].get("encoder") in REPLACED:
        options["model.network.encoder"] = "test_resnet"
    if "initial_filters" in network["init_args"]:
        options["model.network.initial_filters"] = 4
    if "size" in (config["model"]["init_args"].get("inference") or {}):
        options["model.inference.size"] = "[64,64]"
    return [f"--{name}={value}" for name, value in options.items()]


def cut(transform):
    """Return the transform with crops of at most 96 pixels per side."""
    given = transform["init_args"]
    sides = {side: min(given[side], 96) for side in ("height", "width") if side in given}
    return {**transform, "init_args": given | sides}


def kind(config):
    """Return the parts of a row without their settings."""
    model, data = config["model"]["init_args"], config["data"]["class_path"]
    network, head = (model.get(part, {}).get("class_path") for part in ("network", "head"))
    losses = [t["loss"]["class_path"] for t in (model.get("losses") or {}).values() if t]
    return str((network, head, losses, data))


@each_row
@pytest.mark.slow
def test_a_row_trains(name, run, workplace, datasets):
    (workplace / "data").symlink_to(datasets)
    fit_two_steps(name, run)


def fit_two_steps(name, run):
    row = ROWS[name]
    if "after" in row:
        fit_two_steps(row["after"], run)
        for checkpoint in Path("runs", row["after"], "checkpoints").glob("last.ckpt"):
            shutil.copy(checkpoint, checkpoint.with_name("best.ckpt"))
    status, out, err = run(*arguments(row), "--print_config")
    config = yaml.safe_load(out)
    status, _, err = run(*arguments(row), *small(config))
    assert status == 0, err
    assert Path("runs", row["run"], "checkpoints", "last.ckpt").is_file()
