"""``validate``, ``test`` and ``predict`` with several checkpoints."""

import json
from pathlib import Path

import lightning.pytorch  # noqa: F401  its log handler must not keep the stderr of a single test
import pytest
import torch

TEST = ("test", "--config", "config.yaml")


@pytest.fixture
def members(run, workplace):
    """Two runs that differ in seed and network; the tests only read them."""
    small = "{class_path: Unet, init_args: {encoder: test_resnet, decoder_channels: [8, 8]}}"
    for name, options in (("a", ()), ("b", ("--seed_everything", "2", "--model.network", small))):
        status, _, err = run("fit", "--config", "config.yaml", "--run_dir", name, *options)
        assert status == 0, err
    return workplace


def scores(folder):
    return json.loads(Path(folder, "test", "metrics.json").read_text())


def test_several_checkpoints_are_tested_and_predict_as_one(run, refused, members):
    both = "[a/checkpoints/last.ckpt, b/checkpoints/last.ckpt]"
    for name, path in (
        ("alone", "a/checkpoints/last.ckpt"),
        ("twice", "[a/checkpoints/last.ckpt, a/checkpoints/last.ckpt]"),
        ("both", both),
        ("pattern", "?/checkpoints/last.ckpt"),
    ):
        status, out, err = run(*TEST, "--run_dir", name, "--ckpt_path", path)
        assert status == 0, err
        assert "boundary IoU" in out
    assert scores("twice")["scalars"] == scores("alone")["scalars"]
    assert scores("both")["scalars"] != scores("alone")["scalars"]
    assert scores("both") == scores("pattern")
    record = json.loads(Path("both/test/record.json").read_text())
    assert record["checkpoint"] == both.strip("[]")

    # Without a configuration, and from the configuration that a test has written.
    predict = ("predict", "--ckpt_path", both, "--run_dir", "maps")
    status, _, err = run(*predict, "--data.predict_root", "my_folder/images")
    assert status == 0, err
    assert len(list(Path("maps/predictions").glob("*.png"))) == 8
    status, _, err = run("test", "--config", "both/test/config.yaml", "--run_dir", "again")
    assert status == 0, err
    assert scores("again")["scalars"] == scores("both")["scalars"]

    assert "a is the folder of one of" in refused(*TEST, "--run_dir", "a", "--ckpt_path", both)
    fit = ("fit", "--config", "config.yaml", "--run_dir", "c", "--ckpt_path", both)
    assert "fit resumes one checkpoint" in refused(*fit)
    missing = (*TEST, "--run_dir", "c", "--ckpt_path")
    assert "no file matches c*/x.ckpt" in refused(*missing, "c*/x.ckpt")
    assert "nothing.ckpt does not exist" in refused(
        *missing, "[a/checkpoints/last.ckpt, nothing.ckpt]"
    )
    more = ("--data.num_classes", "4")
    assert "the data have 4 classes" in refused(*missing, both, *more)
    content = torch.load("b/checkpoints/last.ckpt", weights_only=True)
    content["class_names"] = ("x", "y", "z")
    torch.save(content, "b/checkpoints/other.ckpt")
    other = both.replace("b/checkpoints/last", "b/checkpoints/other")
    assert "other.ckpt and a/checkpoints/last.ckpt differ in class names: x, y, z" in refused(
        *missing, other
    )
