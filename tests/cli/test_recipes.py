"""Settings that the papers state and the configurations keep."""

import shlex
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
sys.path.append(str(ROOT / "docs"))

import make_experiments  # noqa: E402


def loaded(path):
    """Return a configuration with the files that it includes."""

    def included(value):
        if isinstance(value, dict):
            return {key: included(part) for key, part in value.items()}
        if isinstance(value, str) and value.endswith(".yaml"):
            return loaded(path.parent / value)
        return value

    return included(yaml.safe_load(path.read_text()))


def experiment(name):
    return loaded(CONFIGS / "experiment" / f"{name}.yaml")


def data(config):
    return config["data"]["init_args"]


def model(config):
    return config["model"]["init_args"]


def transforms(config, stage="train"):
    """Return the arguments of each transform by its class."""
    listed = data(config)[f"{stage}_transforms"]
    return {one["class_path"].rpartition(".")[2]: one["init_args"] for one in listed}


def experiments(paper):
    return sorted(path.stem for path in (CONFIGS / "experiment" / paper).glob("*.yaml"))


@pytest.mark.parametrize("name", experiments("distance_regression"))
def test_distances_have_the_papers_clamp_and_void(name):
    head = model(experiment(f"distance_regression/{name}"))["head"]["init_args"]
    assert (head["clamp"], head["void"]) == ("plain", "background")


@pytest.mark.parametrize("area", ["vaihingen", "potsdam"])
def test_clutter_is_trained_and_left_out_of_the_evaluation_alone(area):
    config = experiment(f"distance_regression/{area}")
    assert (data(config)["clutter"], data(config)["eval_clutter"]) == (True, False)
    assert config["boundary_metrics"]["init_args"]["excluded_from_mean"] == ["clutter"]


@pytest.mark.parametrize("name", ["voc", "cityscapes", "cityscapes_half", "helen"])
def test_semeda_has_crops_of_321_batches_of_6_and_frozen_batch_normalisation(name):
    config = experiment(f"semeda/{name}")
    crop = transforms(config)["RandomCrop"]
    assert (crop["height"], crop["width"], data(config)["batch_size"]) == (321, 321, 6)
    callbacks = [one["class_path"] for one in config["trainer"]["callbacks"]]
    assert "lightning_seg.callbacks.FrozenBatchNorm" in callbacks


@pytest.mark.parametrize(("name", "batch_size"), [("voc", "4"), ("cityscapes", "2")])
def test_semedas_models_for_the_test_servers_have_smaller_batches(name, batch_size):
    rows = {run: row for run, row in make_experiments.rows().items() if f"{name}_test_" in run}
    assert {run.rpartition("/")[0] for run in rows} == {"semeda"}
    for row in rows.values():
        words = shlex.split(row["fit"])
        assert words[words.index("--data.batch_size") + 1] == batch_size


@pytest.mark.parametrize("name", experiments("distance_transform"))
def test_the_thesis_trains_in_half_precision(name):
    assert experiment(f"distance_transform/{name}")["trainer"]["precision"] == "16-mixed"


def test_the_thesis_pads_cityscapes_in_evaluation_as_in_training():
    config = experiment("distance_transform/cityscapes")
    assert transforms(config, "eval") == transforms(config)
    padded = transforms(config, "eval")["PadIfNeeded"]
    diagonal = (padded["min_height"] ** 2 + padded["min_width"] ** 2) ** 0.5
    assert round(0.02 * diagonal) == 14


def test_the_foreground_alone_counts_for_faces():
    config = experiment("distance_transform/celebamask_hq")
    assert config["boundary_metrics"]["init_args"]["excluded_from_mean"] == ["background"]
    [term] = model(config)["losses"].values()
    assert term["loss"]["init_args"]["classes"] == [1]


def test_resunet_a_sees_128_pixels_of_reflection():
    inference = model(experiment("resunet_a/potsdam"))["inference"]["init_args"]
    assert (inference["size"], inference["padding"]) == ([256, 256], 128)
    assert inference["overlap"] == 0.75


def test_resunet_as_patches_lie_on_a_grid_beside_two_tenths_for_evaluation():
    config = data(experiment("resunet_a/potsdam"))
    assert (config["crop_size"], config["crop_stride"]) == (256, 128)
    for region in ("val_region", "test_region"):
        left, top, right, bottom = config[region]
        assert (right - left) * (bottom - top) == pytest.approx(0.1, abs=0.001)


def test_resunet_as_steps_are_of_480_patches_and_256_at_half_resolution():
    config = experiment("resunet_a/potsdam")
    batch, batches = data(config)["batch_size"], config["trainer"]["accumulate_grad_batches"]
    assert batch * batches == 480
    assert data(config)["samples_per_epoch"] % 480 == 0
    rows = [row for run, row in make_experiments.rows().items() if run.startswith("resunet_a/")]
    half = [words for row in rows if "--data.field_of_view" in (words := shlex.split(row["fit"]))]
    assert len(half) >= 4
    for words in half:
        assert batch * int(words[words.index("--trainer.accumulate_grad_batches") + 1]) == 256


def test_resunet_a_zooms_both_axes_by_one_factor_about_a_random_centre():
    assert transforms(experiment("resunet_a/potsdam"))["ZoomRotate"]["zoom"] == [0.25, 1.25]


def test_resunet_a_on_potsdam_is_validated_after_every_epoch():
    trainer = experiment("resunet_a/potsdam")["trainer"]
    assert trainer.get("check_val_every_n_epoch", 1) == 1


@pytest.mark.parametrize("name", experiments("epl"))
def test_half_of_epls_crops_are_turned_and_padded_with_the_mean(name):
    rotation = transforms(experiment(f"epl/{name}"))["Rotate"]
    assert rotation["p"] == 0.5
    mean = [round(255 * value, 3) for value in (0.485, 0.456, 0.406)]
    assert (rotation["fill"], rotation["fill_mask"]) == (mean, 255)


@pytest.mark.parametrize("name", experiments("epl"))
def test_epls_batches_are_counted_and_normalised_over_all_devices(name):
    config = experiment(f"epl/{name}")
    devices = config["trainer"]["devices"]
    ablation = name in ("voc", "cityscapes")
    assert data(config)["batch_size"] * devices == (12 if ablation else 16)
    assert config["trainer"]["sync_batchnorm"] is True


def test_epls_line_weight_of_one_half_on_cityscapes_goes_with_mu_10():
    line = loaded(CONFIGS / "overlay" / "epl" / "cityscapes.yaml")["model"]["losses"]["line"]
    assert (line["weight"], line["loss"]["init_args"]["mu"]) == (0.5, 10)
