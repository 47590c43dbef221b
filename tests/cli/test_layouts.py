"""Layouts of people's own folders, from training to predictions, from the command line."""

import json
from pathlib import Path

import pytest

FIT = ("fit", "--config", "config.yaml", "--run_dir", "run", "--panels", "null")


def rename(kind, place):
    """Move the eight files of a kind to ``place(index)`` below ``my_folder``."""
    for index in range(8):
        target = Path("my_folder", place(index))
        target.parent.mkdir(parents=True, exist_ok=True)
        Path("my_folder", kind, f"{index}.png").rename(target)


def predict(run, *more):
    command = ("predict", "--config", "run/config.yaml", "--run_dir", "run", "--ckpt_path", "last")
    status, _, err = run(*command, *more)
    assert status == 0, err
    return sorted(path.name for path in Path("run/predictions").rglob("*.png"))


def validated():
    return "val/loss" in json.loads(Path("run/epochs.jsonl").read_text().splitlines()[-1])


def test_images_and_masks_in_one_folder_with_endings(run):
    rename("images", lambda index: f"all/{index:03}_image.png")
    rename("masks", lambda index: f"all/{index:03}_mask.png")
    where = ("--data.images", "all", "--data.masks", "all")
    endings = ("--data.image_suffix", "_image", "--data.mask_suffix", "_mask")
    status, _, err = run(*FIT, *where, *endings)
    assert status == 0, err
    assert validated()
    assert all(len(Path(name).stem) == 3 for name in predict(run))


def test_pictures_of_a_run_beside_the_images_are_no_images(run):
    rename("images", lambda index: f"{index}.png")
    rename("masks", lambda index: f"{index}_mask.png")
    where = ("--data.images", ".", "--data.masks", ".", "--data.mask_suffix", "_mask")
    train = ("fit", "--config", "config.yaml", "--panels.every_n_epochs", "1", *where)
    for name in ("one", "two"):
        status, _, err = run(*train, "--run_dir", f"my_folder/runs/{name}")
        assert status == 0, err
    assert list(Path("my_folder/runs/one").rglob("*.png"))


def test_train_and_test_folders_without_val(run):
    splits = ["train"] * 6 + ["test"] * 2
    for kind in ("images", "masks"):
        rename(kind, lambda index, kind=kind: f"{splits[index]}/{kind}/{index}.png")
    status, _, err = run(*FIT)
    assert status == 0, err
    assert validated()
    assert predict(run) == ["6.png", "7.png"]


def test_lists_of_sub_folders_without_a_validation_split(run, recwarn):
    for kind in ("images", "masks"):
        rename(kind, lambda index, kind=kind: f"{kind}/{'ab'[index % 2]}/{index}.png")
    Path("my_folder/train.txt").write_text("a\n")
    status, _, err = run(*FIT, "--data.train_list", "train.txt")
    assert status == 0, err
    said = [str(warning.message) for warning in recwarn]
    assert sum("val: there are no images: fit evaluates nothing" in text for text in said) == 1
    assert not any("monitor" in text or "Total length" in text for text in said)
    assert not validated()
    checkpoints = [path.name for path in Path("run/checkpoints").iterdir()]
    assert checkpoints == ["last.ckpt"]
    assert predict(run, "--data.predict_root", "my_folder/images/*/[13].png") == [
        "b_1.png",
        "b_3.png",
    ]
    files = [f"my_folder/images/b/{index}.png" for index in (5, 7)]
    found = predict(run, "--data.predict_root", json.dumps(files))
    assert {"5.png", "7.png"} <= set(found)


@pytest.mark.parametrize("more", [(), ("--data.fractions", "[0.5, 0.5, 0.0]")])
def test_predict_without_test_images_asks_for_predict_root(refused, run, more):
    for kind in ("images", "masks"):
        rename(kind, lambda index, kind=kind: f"train/{kind}/{index}.png")
    run(*FIT, *more)
    config = ("--config", "run/config.yaml", "--run_dir", "run", "--ckpt_path", "last")
    assert "predict_root" in refused("predict", *config)
