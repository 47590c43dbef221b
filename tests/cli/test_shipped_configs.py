import sys
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule

from lightning_seg import cli
from lightning_seg.networks import no_pretrained_weights

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted((CONFIGS / "experiment").rglob("*.yaml"))
ANY = CONFIGS / "experiment" / "camvid" / "unet_distance.yaml"


def printed(capsys, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["lightning-seg", "fit", *map(str, args), "--print_config"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code in (0, None), err
    return out


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_experiment_is_a_whole_run(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", path)
    assert "class_path: lightning_seg.tasks." in out
    assert "max_epochs: null" not in out
    assert "run_dir: runs/unnamed" not in out


@pytest.fixture(scope="module")
def parser():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parser.add_subclass_arguments(LightningModule, "model")
    for name in cli.FROM_DATA:
        parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
    return parser


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_experiments_data_and_task_can_be_made(parser, monkeypatch, path):
    monkeypatch.chdir(path.parent)  # where the files that it includes are looked for
    said = yaml.safe_load(path.read_text())
    config = parser.parse_object({part: said[part] for part in ("data", "model")})
    # Its network is as large as for a whole run, but has no numbers.
    with torch.device("meta"), no_pretrained_weights():
        made = parser.instantiate_classes(config)
    assert made.model.hparams.num_classes == made.data.num_classes
    parameters = list(made.model.parameters())
    assert parameters
    assert all(parameter.is_meta for parameter in parameters)


@pytest.mark.parametrize("path", sorted((CONFIGS / "method").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_method_replaces_another_by_one_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model", path)
    assert "class_path: lightning_seg.tasks.SegmentationTask" in out


@pytest.mark.parametrize("path", sorted((CONFIGS / "network").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_network_replaces_another_by_one_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.network", path)
    class_path = yaml.safe_load(path.read_text())["class_path"]
    assert f"class_path: lightning_seg.networks.{class_path}\n" in out


@pytest.mark.parametrize("path", sorted((CONFIGS / "trainer").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_trainer_is_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--trainer", path)
    assert "max_epochs: 20" in out


def test_seeds_differ_from_nothing_but_the_option(capsys, monkeypatch):
    one = printed(capsys, monkeypatch, "--config", ANY)
    other = printed(capsys, monkeypatch, "--config", ANY, "--seed_everything", "7")
    assert other == one.replace("seed_everything: 42", "seed_everything: 7")


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "inference").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_way_of_inference_is_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.inference", path)
    assert "size:" in out or "scales:" in out
    assert "inference: null" not in out
