import json
import warnings
from pathlib import Path

import cv2
import pytest
import torch
import yaml

from lightning_seg.tasks import SegmentationTask

ROOT = Path(__file__).parents[2]
FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")


@pytest.fixture
def fitted(run):
    status, _, err = run(*FIT)
    assert status == 0, err
    return Path("run")


def test_a_run_writes_everything_to_its_folder(fitted):
    names = {str(p.relative_to(fitted)) for p in fitted.rglob("*") if p.is_file()}
    assert {"config.yaml", "environment.jsonl", "epochs.jsonl"} <= names
    assert {"checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= names
    assert any(name.startswith("pictures/") for name in names)
    assert any("events.out.tfevents" in name for name in names)
    epoch = json.loads((fitted / "epochs.jsonl").read_text().splitlines()[0])
    assert {"epoch", "train/loss", "val/loss", "val/boundary_iou", "val/trimap_iou_3px"} <= set(
        epoch
    )
    assert json.loads((fitted / "environment.jsonl").read_text())["packages"]["torch"]


def test_testing_a_checkpoint_prints_the_same_table_again(fitted, run):
    test = ("test", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path")
    _, first, _ = run(*test, "best")
    figures = json.loads((fitted / "test" / "metrics.json").read_text())
    _, again, _ = run(*test, "run/checkpoints/best.ckpt")
    assert "boundary IoU" in first
    assert first == again
    assert json.loads((fitted / "test" / "metrics.json").read_text()) == figures


def test_the_saved_config_is_complete(fitted, run):
    status, _, err = run("validate", "--config", "run/config.yaml", "--ckpt_path", "last")
    assert status == 0, err


def test_the_saved_config_is_complete_with_the_default_optimizer(run):
    config = Path("config.yaml")
    optimization = f"{ROOT}/tests/cli/adamw.yaml"
    config.write_text(config.read_text().replace(optimization, "{step_schedule: PolynomialLR}"))
    status, _, err = run(*FIT)
    assert status == 0, err
    status, _, err = run("test", "--config", "run/config.yaml", "--ckpt_path", "best")
    assert status == 0, err


def test_the_number_of_classes_comes_from_the_data(fitted):
    checkpoint = torch.load(fitted / "checkpoints" / "last.ckpt", weights_only=False)
    assert checkpoint["hyper_parameters"]["num_classes"] == 3
    assert (
        "num_classes"
        not in yaml.safe_load((fitted / "config.yaml").read_text())["model"]["init_args"]
    )


def test_a_checkpoint_loads_without_other_files(fitted):
    task = SegmentationTask.load_from_checkpoint(fitted / "checkpoints" / "last.ckpt")
    assert task.head.target.clip == 8.0
    assert task.eval()(torch.rand(1, 3, 20, 30))["logits"].shape == (1, 3, 20, 30)


def test_a_stopped_run_resumes(fitted, run):
    status, _, err = run(*FIT, "--ckpt_path", "last", "--trainer.max_epochs", "3")
    assert status == 0, err
    epochs = [json.loads(line) for line in (fitted / "epochs.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    assert [epoch["step"] for epoch in epochs] == [2, 4, 6]
    assert [epoch["learning_rate"] for epoch in epochs] == [0.001] * 3
    assert (fitted / "config.yaml").exists()
    assert (fitted / "resumed" / "config.yaml").exists()


def test_resuming_keeps_the_command_lines_options(fitted, run):
    status, _, err = run(
        *FIT,
        *("--ckpt_path", "last", "--trainer.max_epochs", "2", "--model.head.clip", "5"),
    )
    assert status == 0, err
    config = yaml.safe_load((fitted / "resumed" / "config.yaml").read_text())
    assert config["model"]["init_args"]["head"]["init_args"]["clip"] == 5.0


def test_a_second_run_in_the_same_folder_is_refused(fitted, refused):
    assert "run already contains a run" in refused(*FIT)


def test_predict_writes_label_maps(fitted, run):
    status, _, err = run(
        "predict", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last"
    )
    assert status == 0, err
    assert len(list((fitted / "predictions").rglob("*.png"))) == 2


def resize(*more):
    transforms = [
        {"class_path": "albumentations.Resize", "init_args": {"height": 32, "width": 32}},
        *more,
    ]
    return f"--data.eval_transforms={json.dumps(transforms)}"


def test_a_checkpoint_and_data_suffice_to_test_and_predict(fitted, run):
    checkpoint = "run/checkpoints/last.ckpt"
    whole = json.loads(run_and_read(run, "--config", "run/config.yaml", "--ckpt_path", "last"))
    Path("run/config.yaml").unlink()
    fractions = ("--data.root=my_folder", "--data.fractions=[0.5, 0.25, 0.25]")
    assert json.loads(run_and_read(run, f"--ckpt_path={checkpoint}", *fractions)) == whole
    status, _, err = run(
        "predict", "--ckpt_path", checkpoint, "--data.predict_root", "my_folder/images"
    )
    assert status == 0, err
    assert len(list(Path("run/predictions").glob("*.png"))) == 8


def run_and_read(run, *arguments):
    status, _, err = run("test", *arguments)
    assert status == 0, err
    return Path("run/test/metrics.json").read_text()


def test_predicted_maps_have_the_size_of_their_images_with_any_transforms(fitted, run):
    resized = {name: cv2.imread(f"my_folder/images/{name}.png") for name in "01"}
    Path("unlabelled").mkdir()
    for name, factor in (("0", 1), ("1", 2)):
        cv2.imwrite(f"unlabelled/{name}.png", cv2.resize(resized[name], None, fx=factor, fy=1))
    predict = ("predict", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last")
    batch = ("--data.predict_root=unlabelled", "--data.eval_batch_size=2")
    status, _, err = run(*predict, *batch, resize())
    assert status == 0, err
    sizes = [cv2.imread(f"run/predictions/{name}.png").shape[:2] for name in "01"]
    assert sizes == [(48, 64), (48, 128)]


def test_transforms_that_move_images_are_refused_for_predict(fitted, refused):
    predict = ("predict", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last")
    message = refused(*predict, resize({"class_path": "albumentations.HorizontalFlip"}))
    assert "With the transform HorizontalFlip, predictions would not match the original" in message


def test_a_class_in_the_working_directory_is_found(run, workplace):
    (workplace / "my_heads.py").write_text(
        "from lightning_seg.heads import ClassificationHead\n"
        "class MyHead(ClassificationHead):\n    pass\n"
    )
    (workplace / "mine.yaml").write_text(
        "model:\n  class_path: SegmentationTask\n  init_args:\n"
        "    head: {class_path: my_heads.MyHead}\n"
        "    losses: {theirs: {loss: {class_path: torch.nn.CrossEntropyLoss,"
        " init_args: {ignore_index: 255}}}}\n"
    )
    status, _, err = run(*FIT, "--config", "mine.yaml")
    assert status == 0, err


def test_a_step_schedule_is_not_stretched_by_resuming(run, refused):
    """Beyond its planned end PolynomialLR has a learning rate of zero."""
    scheduled = (*FIT, "--model.optimization.step_schedule=PolynomialLR")
    status, _, err = run(*scheduled)
    assert status == 0, err
    message = refused(*scheduled, "--ckpt_path", "last", "--trainer.max_epochs", "3")
    assert "planned for 2 steps, but this run has 6" in message


def test_a_checkpoint_of_another_run_starts_a_new_run(fitted, run, refused):
    other = ("--ckpt_path", "run/checkpoints/last.ckpt", "--trainer.max_epochs", "2")
    status, _, err = run("fit", "--config", "config.yaml", "--run_dir", "second", *other)
    assert status == 0, err
    assert Path("second/config.yaml").exists()
    third = ("fit", "--config", "config.yaml", "--run_dir", "second")
    assert "already contains a run" in refused(*third, *other)


def test_a_run_killed_while_it_wrote_its_first_checkpoint_starts_again(fitted, run, refused):
    partial = Path("killed/checkpoints/.partial-elsewhere-1-best.ckpt")  # of another machine
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"PK")
    begin = ("fit", "--config", "config.yaml", "--run_dir", "killed")
    assert "Checkpoints in killed/checkpoints: none" in refused(*begin, "--ckpt_path", "last")
    status, _, err = run(*begin, "--ckpt_path", "auto")
    assert status == 0, err
    assert Path("killed/checkpoints/last.ckpt").exists()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_evaluation_without_a_checkpoint_is_refused(refused, command):
    assert "--ckpt_path best" in refused(command, "--config", "config.yaml", "--run_dir", "run")


def test_a_checkpoint_of_another_model_is_refused(fitted, refused):
    message = refused(
        *("test", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last"),
        "--model.network.decoder_channels=[8,8]",
    )
    assert (
        "the checkpoint is of another model: network.decoder.0.convs.0.weight has the shape"
        in message
    )
    assert "config.yaml" in message


def test_a_checkpoint_needs_no_download_of_pretrained_weights(fitted, run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    status, _, err = run(
        *("test", "--config", "config.yaml", "--run_dir", "run", "--ckpt_path", "last"),
        "--model.network.pretrained=true",
    )
    assert status == 0, err


def test_everything_is_in_the_run_folder_with_any_logger(run, workplace):
    logger = ("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=elsewhere")
    status, _, err = run(*FIT, *logger)
    assert status == 0, err
    test = ("test", "--config", "run/config.yaml", "--ckpt_path", "best")
    status, _, err = run(*test)
    assert status == 0, err
    names = {str(p.relative_to("run")) for p in Path("run").rglob("*") if p.is_file()}
    assert {"config.yaml", "test/config.yaml", "environment.jsonl", "epochs.jsonl"} <= names
    assert {"checkpoints/best.ckpt", "test/metrics.json"} <= names
    assert {Path(name).parts[:2] for name in names} >= {("pictures", "val"), ("pictures", "test")}
    assert {p.name for p in Path("elsewhere").rglob("*") if p.is_file()} <= {
        "metrics.csv",
        "hparams.yaml",
    }


def test_a_run_without_a_logger_keeps_its_config(run):
    status, _, err = run(*FIT, "--trainer.logger=false")
    assert status == 0, err
    assert Path("run/config.yaml").is_file()
    assert Path("run/epochs.jsonl").is_file()


def test_irrelevant_messages_of_libraries_are_hidden(run, caplog):
    with caplog.at_level("INFO"), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        status, _, err = run(*FIT, "--trainer.log_every_n_steps=5")
    assert status == 0, err
    assert not [r.getMessage() for r in caplog.records if "Tip" in r.getMessage()]
    messages = [str(w.message) for w in warned]
    assert not [m for m in messages if "LeafSpec" in m]
    assert [m for m in messages if "smaller than the logging interval" in m]


def test_photos_of_different_sizes_have_the_same_scores_in_batches_as_one_by_one(run):
    for index, width in ((1, 65), (2, 65), (5, 60)):
        for kind in ("images", "masks"):
            path = f"my_folder/{kind}/{index}.png"
            image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            cv2.imwrite(path, cv2.resize(image, (width, 48), interpolation=cv2.INTER_NEAREST))
    options = ("--data.fractions=[0.25, 0.375, 0.375]", "--data.crop_size=32")
    in_batches = (*options, "--data.samples_per_epoch=4", "--data.eval_batch_size=3")
    status, _, err = run(*FIT, *in_batches)
    assert status == 0, err
    test = ("test", "--config", "run/config.yaml", "--ckpt_path", "last")
    figures = []
    for size in (3, 1):
        status, _, err = run(*test, f"--data.eval_batch_size={size}")
        assert status == 0, err
        figures.append(json.loads(Path("run/test/metrics.json").read_text())["scalars"])
    assert figures[0] == pytest.approx(figures[1])
