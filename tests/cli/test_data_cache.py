"""``lightning-seg data cache``, and training with what it keeps."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CACHE = ("data", "cache", "--config", "config.yaml")


@pytest.fixture
def masked(workplace):
    """Some pixels without a label, where a code must mean void."""
    for path in Path("my_folder/masks").glob("*.png"):
        mask = np.array(Image.open(path))
        mask[:4] = 255
        Image.fromarray(mask).save(path)
    return workplace


def entries():
    return list(Path("my_folder/.lightning_seg/targets").glob("*.npy"))


def test_the_cache_is_filled_once_and_training_uses_it(run, masked):
    status, out, err = run(*CACHE)
    assert status == 0, err
    assert "train: 4 images, 4 of them computed now" in out
    assert "val: 2 images, 2 of them computed now" in out
    assert len(entries()) == 6
    status, out, err = run(*CACHE)
    assert status == 0, err
    assert "train: 4 images, 0 of them computed now" in out

    times = [path.stat().st_mtime_ns for path in entries()]
    fit = ("fit", "--config", "config.yaml")
    status, _, err = run(*fit, "--run_dir=cached", "--data.targets_cache=disk")
    assert status == 0, err
    assert [path.stat().st_mtime_ns for path in entries()] == times
    status, _, err = run(*fit, "--run_dir=computed")
    assert status == 0, err
    losses = [
        float(Path(folder, "epochs.jsonl").read_text().split('"val/loss": ')[1].split(",")[0])
        for folder in ("cached", "computed")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_nothing_to_keep_is_said(refused, masked):
    message = refused(*CACHE, "--model.losses.distance=null")
    assert "need no target that could be kept" in message


def test_a_model_without_a_configuration_is_asked_for(refused, masked):
    Path("data.yaml").write_text(
        "data:\n  class_path: FolderDataModule\n  init_args: {root: my_folder, num_classes: 3}\n"
    )
    assert "model" in refused("data", "cache", "--config", "data.yaml")
