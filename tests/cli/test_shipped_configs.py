import sys
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule

from lightning_seg import cli
from lightning_seg.cli.segmentation_cli import FROM_DATA
from lightning_seg.networks import no_pretrained_weights

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted((CONFIGS / "experiment").rglob("*.yaml"))
ANY = CONFIGS / "experiment" / "camvid" / "unet.yaml"
PSPNET = CONFIGS / "experiment" / "epl" / "voc_pspnet.yaml"
PLATEAU = CONFIGS / "experiment" / "resunet_a" / "potsdam.yaml"
EPL = ("--config", PSPNET, "--config", CONFIGS / "method" / "epl.yaml")


def printed(capsys, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["lightning-seg", "fit", *map(str, args), "--print_config"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code in (0, None), err
    return out


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_experiment_is_a_complete_configuration(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", path)
    assert "class_path: lightning_seg.tasks." in out
    assert "max_epochs: null" not in out
    assert "run_dir: runs/unnamed" not in out


@pytest.fixture(scope="module")
def parser():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parser.add_subclass_arguments(LightningModule, "model")
    for name in FROM_DATA:
        parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
    return parser


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_data_and_task_of_an_experiment_can_be_instantiated(parser, monkeypatch, path):
    monkeypatch.chdir(path.parent)  # where the files that it includes are looked for
    said = yaml.safe_load(path.read_text())
    if "segformer" in path.stem:
        pytest.importorskip("transformers")
    config = parser.parse_object({part: said[part] for part in ("data", "model")})
    # Its network is as large as for a whole run, but has no numbers.
    with torch.device("meta"), no_pretrained_weights():
        made = parser.instantiate_classes(config)
    assert made.model.hparams.num_classes == made.data.num_classes
    parameters = list(made.model.parameters())
    assert parameters
    assert all(parameter.is_meta for parameter in parameters)


def parts(kind):
    paths = sorted((CONFIGS / kind).glob("*.yaml"))
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


@parts("method")
def test_a_method_sets_only_head_and_losses(path):
    assert set(yaml.safe_load(path.read_text())) == {"model"}
    assert set(yaml.safe_load(path.read_text())["model"]) == {"head", "losses"}


@parts("method")
def test_a_method_added_to_an_experiment_keeps_everything_else(capsys, monkeypatch, path):
    before = yaml.safe_load(printed(capsys, monkeypatch, "--config", PSPNET))
    laid = yaml.safe_load(printed(capsys, monkeypatch, "--config", PSPNET, "--config", path))
    method = yaml.safe_load(path.read_text())["model"]
    model, model_before = laid["model"]["init_args"], before["model"]["init_args"]
    assert set(model["losses"]) == set(method["losses"])
    assert model["head"]["class_path"].endswith(f".{method['head']['class_path']}")
    for name in ("network", "optimization", "auxiliary", "inference"):
        assert model[name] == model_before[name]
    del laid["model"], before["model"]
    assert laid == before


def test_a_method_inherits_no_setting_of_earlier_terms(capsys, monkeypatch):
    balanced = CONFIGS / "experiment" / "distance_regression" / "camvid.yaml"
    plain = CONFIGS / "method" / "distance_regression.yaml"
    before = yaml.safe_load(printed(capsys, monkeypatch, "--config", balanced))
    losses = before["model"]["init_args"]["losses"]
    assert losses["cross_entropy"]["loss"]["init_args"]["class_weights"] == "median_frequency"
    laid = yaml.safe_load(printed(capsys, monkeypatch, "--config", balanced, "--config", plain))
    losses = laid["model"]["init_args"]["losses"]
    assert losses["cross_entropy"]["loss"]["init_args"]["class_weights"] is None
    assert losses["distance"]["loss"]["init_args"]["class_weights"] is None


def test_a_method_inherits_no_weight_of_an_earlier_term(capsys, monkeypatch):
    single = CONFIGS / "method" / "resunet_a_single.yaml"
    out = printed(capsys, monkeypatch, "--config", PLATEAU, "--config", single)
    assert yaml.safe_load(out)["model"]["init_args"]["losses"]["tanimoto"]["weight"] == 1.0


TERMS = {
    ("line.weight", "0.5"): ("line", "weight", 0.5),
    ("line.loss.kernel_size", "9"): ("line", "loss", {"kernel_size": 9, "mu": 10}),
    ("point.loss.init_args.norm", "l1"): ("point", "loss", {"kernel_size": 7, "norm": "l1"}),
}


@pytest.mark.parametrize(("option", "change"), TERMS.items(), ids=lambda x: x[0])
def test_one_setting_of_a_term_can_be_changed_by_name(capsys, monkeypatch, option, change):
    name, value = option
    out = printed(capsys, monkeypatch, *EPL, f"--model.losses.{name}", value)
    losses = yaml.safe_load(out)["model"]["init_args"]["losses"]
    term, key, expected = change
    actual = losses[term][key]
    if isinstance(expected, dict):
        actual = {name: actual["init_args"][name] for name in expected}
    assert actual == expected
    assert list(losses) == ["cross_entropy", "point", "line"]


def test_a_term_can_be_removed_by_name(capsys, monkeypatch):
    out = printed(capsys, monkeypatch, *EPL, "--model.losses.line", "null")
    losses = yaml.safe_load(out)["model"]["init_args"]["losses"]
    assert losses["line"] is None
    assert losses["point"]["weight"] == 0.1


@parts("optimization")
def test_an_optimization_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.optimization", path)
    given = yaml.safe_load(path.read_text())["optimizer"]["class_path"]
    actual = yaml.safe_load(out)["model"]["init_args"]["optimization"]
    assert actual["optimizer"]["class_path"].endswith(given.rpartition(".")[2])


@parts("optimization")
@pytest.mark.parametrize("experiment", [ANY, PLATEAU, PSPNET], ids=lambda p: p.parent.name)
def test_a_new_optimization_replaces_all_of_the_old_one(capsys, monkeypatch, path, experiment):
    out = printed(capsys, monkeypatch, "--config", experiment, "--model.optimization", path)
    actual = yaml.safe_load(out)["model"]["init_args"]["optimization"]
    given = yaml.safe_load(path.read_text())
    for name in ("step_schedule", "epoch_schedule"):
        assert (actual[name] is None) == (given[name] is None)
    assert actual["lr_factors"] == given["lr_factors"]
    assert set(given["optimizer"]["init_args"]).issubset(actual["optimizer"]["init_args"])


@parts("auxiliary")
def test_auxiliary_supervision_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.auxiliary", path)
    actual = yaml.safe_load(out)["model"]["init_args"]["auxiliary"]
    assert set(actual["losses"]) == set(yaml.safe_load(path.read_text())["losses"])


@parts("data")
def test_a_dataset_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--data", path)
    given = yaml.safe_load(path.read_text())["class_path"]
    assert yaml.safe_load(out)["data"]["class_path"] == f"lightning_seg.data.{given}"


def test_no_configuration_repeats_a_default():
    for path in CONFIGS.rglob("*.yaml"):
        text = path.read_text()
        assert "num_sanity_val_steps" not in text, path
        assert "accelerator: auto" not in text, path
        assert "devices: auto" not in text or path.parent.name == "trainer", path


@parts("network")
def test_a_network_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.network", path)
    class_path = yaml.safe_load(path.read_text())["class_path"]
    assert f"class_path: lightning_seg.networks.{class_path}\n" in out


@parts("trainer")
def test_a_trainer_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--trainer", path)
    assert "max_epochs: 20" in out


def test_a_seed_option_changes_only_the_seed(capsys, monkeypatch):
    one = printed(capsys, monkeypatch, "--config", ANY)
    other = printed(capsys, monkeypatch, "--config", ANY, "--seed_everything", "7")
    assert other == one.replace("seed_everything: 42", "seed_everything: 7")


@parts("inference")
def test_an_inference_can_be_an_option(capsys, monkeypatch, path):
    out = printed(capsys, monkeypatch, "--config", ANY, "--model.inference", path)
    assert "size:" in out or "scales:" in out
    assert "inference: null" not in out
