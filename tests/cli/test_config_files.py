"""Short names of the package's configurations, from any folder."""

import pytest

from lightning_seg.config_files import configs_folder, resolve_short_names

FOLDER = str(configs_folder())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--config camvid/unet", "--config {}/experiment/camvid/unet.yaml"),
        ("--config=method/epl", "--config={}/method/epl.yaml"),
        ("-c configs/method/epl.yaml", "-c {}/method/epl.yaml"),
        (
            "--model.network network/pspnet_resnet50",
            "--model.network {}/network/pspnet_resnet50.yaml",
        ),
        ("--data data/voc", "--data {}/data/voc.yaml"),
        ("--trainer=trainer/cpu", "--trainer={}/trainer/cpu.yaml"),
    ],
)
def test_a_short_name_is_a_file_of_the_package(tmp_path, monkeypatch, given, expected):
    monkeypatch.chdir(tmp_path)
    assert resolve_short_names(given.split()) == expected.format(FOLDER).split()


@pytest.mark.parametrize(
    "given",
    [
        "--config nowhere/unet",
        "--config /camvid/unet",
        "--config ../camvid/unet",
        "--run_dir camvid/unet",
        "--model.network Unet",
        "--config",
        "--config=",
        "--config .",
        "--data=.",
    ],
)
def test_other_paths_are_left_unchanged(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    assert resolve_short_names(given.split()) == given.split()


def test_a_local_file_takes_precedence_over_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "method").mkdir(parents=True)
    (tmp_path / "configs" / "method" / "epl.yaml").write_text("model: {}")
    given = ["--config", "configs/method/epl.yaml"]
    assert resolve_short_names(given) == given


def test_a_run_works_with_short_names(run):
    status, out, err = run(
        "fit", "--config", "synthetic/unet", "--config", "method/epl", "--print_config"
    )
    assert status in (0, None), err
    assert "EquipotentialLineLoss" in out
