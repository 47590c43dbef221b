import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIT = ("fit", "--config", "config.yaml", "--run_dir", "run")


def edit(old, new):
    path = Path("config.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def printed(run, *args):
    status, out, err = run(*FIT, *args, "--print_config")
    assert status == 0, err
    return out


def test_print_config_shows_the_complete_configuration(run):
    out = printed(run)
    assert "class_path: lightning_seg.heads.SignedDistanceHead" in out
    assert "clip: 8.0" in out


def test_options_of_a_replaced_class_are_dropped(run):
    out = printed(run, "--model.optimization.optimizer=SGD")
    section = out[out.index("torch.optim.SGD") : out.index("step_schedule")]
    assert "weight_decay: 0.0\n" in section


def test_options_of_a_class_replaced_by_a_second_config_are_dropped(run, workplace):
    (workplace / "sgd.yaml").write_text(
        "model: {class_path: SegmentationTask, init_args: {optimization: "
        "{optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.5}}}}}\n"
    )
    out = printed(run, "--config", "sgd.yaml")
    section = out[out.index("torch.optim.SGD") : out.index("step_schedule")]
    assert "weight_decay: 0.0\n" in section
    assert "lr: 0.5\n" in section
    assert "encoder: test_resnet" in out


def test_an_option_of_the_same_class_keeps_the_others(run):
    out = printed(run, "--model.optimization.optimizer.lr=0.5")
    section = out[out.index("torch.optim.AdamW") : out.index("step_schedule")]
    assert "weight_decay: 0.3\n" in section
    assert "lr: 0.5\n" in section


def test_a_misspelt_key_names_file_line_class_and_the_nearest_key(refused):
    edit("encoder:", "encodr:")
    message = refused(*FIT)
    line = Path("config.yaml").read_text().splitlines().index("        encodr: test_resnet") + 1
    assert f"'encodr' is not a setting of Unet (config.yaml:{line})" in message
    assert "encoder" in message.split("Did you mean")[1]


def test_a_misspelt_key_in_an_included_file_names_that_file(refused, workplace):
    edit("optimization: ", "optimization: adamw.yaml # ")
    (workplace / "adamw.yaml").write_text(
        "optimizer: {class_path: torch.optim.AdamW}\nmonitr: val/loss\n"
    )
    assert "'monitr' is not a setting of Optimization (adamw.yaml:2)" in refused(*FIT)


def test_a_misspelt_option_suggests_the_nearest(refused):
    message = refused(*FIT, "--trainer.max_epoch=3")
    assert "no option --trainer.max_epoch." in message
    assert "--trainer.max_epochs" in message


def test_abbreviations_are_refused(refused):
    assert "no option --trainer.max_ep" in refused(*FIT, "--trainer.max_ep", "3")


@pytest.mark.parametrize(
    ("old", "new", "key", "kind", "value"),
    [
        ("batch_size: 2", "batch_size: two", "batch_size", "int", "two"),
        ("clip: 8.0", "clip: far", "clip", "float", "far"),
        ("max_epochs: 1", "max_epochs: soon", "max_epochs", "int", "soon"),
    ],
)
def test_a_wrong_type_names_key_value_and_file(refused, old, new, key, kind, value):
    edit(old, new)
    message = refused(*FIT)
    assert key in message
    assert f"expected {kind}" in message
    assert value in message
    assert "config.yaml:" in message


def test_null_resets_a_nested_option(run):
    edit(
        f"optimization: {ROOT}/tests/cli/adamw.yaml", "optimization: {step_schedule: PolynomialLR}"
    )
    assert "step_schedule: null\n" in printed(run, "--model.optimization.step_schedule", "null")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "--model.optimization.step_schedule=Foo",
            "model.optimization.step_schedule: expected a class or null, but got 'Foo'.",
        ),
        (
            "--model.optimization.optimizer=Adamm",
            "model.optimization.optimizer: expected a class or null, but got 'Adamm'. Did you",
        ),
        ("--model.head=null", "model.head: expected a class, but got 'null'."),
        ("--model.inference=3", "model.inference: expected a class or null, but got '3'"),
        ("--model=EdgeDetection", "but got 'EdgeDetection'. Did you mean EdgeDetectionTask"),
        ("--data.fractions=3", "data.fractions: expected tuple, but got '3'"),
        ("--data.batch_size=0", "batch_size is 0. Set it to 1 or more."),
        ("--boundary_metrics=3", "boundary_metrics: expected a class or null, but got '3'"),
        ("--trainer.precision=17", "32-true or 64-true or bf16 or null, but got '17'."),
        ("--trainer.devices=some", "trainer: `devices`"),
        ("--trainer.max_epochs=-5", "trainer: `max_epochs` must be"),
        (
            "--model.losses={logits: [{loss: {class_path: CrossEntropyLoss}}]}",
            "model.losses: lists by prediction are the form before 0.2.",
        ),
        (
            "--model.losses={first: {loss: {class_path: CrossEntropy}}}",
            "model.losses.loss: expected a class, but got 'CrossEntropy'. Did you mean",
        ),
        ("--model.losses.lines.weight=0.5", "model.losses: WeightedLoss needs loss."),
    ],
)
def test_a_wrong_value_names_key_value_and_accepted_values(refused, option, expected):
    message = refused(*FIT, option)
    assert expected in message
    assert "config.yaml" not in message  # the value stands in the command line


def test_a_setting_longer_than_any_file_name_is_read_and_its_mistakes_are_named(run, refused):
    names = [f"land use class number {i}" for i in range(12)]
    data = {"class_path": "FolderDataModule", "init_args": {"root": "d", "class_names": names}}
    assert names[-1] in printed(run, "--data", json.dumps(data))
    whole = json.dumps({"seed_everything": 1, "data": data, "modell": None})
    assert "modell" in refused("fit", "--config", whole)


def test_an_unknown_class_lists_the_known_ones(refused):
    edit("class_path: SignedDistanceHead", "class_path: SignedHead")
    message = refused(*FIT)
    assert "model.head: expected a class, but got 'SignedHead' (config.yaml:" in message
    assert "SignedDistanceHead" in message


def test_an_unknown_setting_names_file_line_and_the_nearest(refused):
    edit("max_epochs:", "max_epoch:")
    message = refused(*FIT)
    assert "there is no setting trainer.max_epoch (config.yaml:" in message
    assert "Did you mean trainer.max_epochs" in message


@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
def test_settings_taken_from_the_data_cannot_be_set_on_the_model(refused, name):
    message = refused(*FIT, f"--model.{name}=4")
    assert f"model.{name} is set to 4, but the model takes it from the data" in message


def test_help_describes_this_program(run):
    status, out, _ = run("--help")
    assert status in (0, None)
    assert "Boundary-aware semantic segmentation" in out
    assert "Evaluate a checkpoint on the test images." in out
    status, out, _ = run("fit", "--help")
    assert status in (0, None)
    assert out.startswith("usage: lightning-seg fit --config FILE.yaml [--OPTION VALUE ...]")


def test_a_run_without_a_config_names_what_is_missing(refused):
    assert "data and model must be given" in refused("fit")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"data: [1, 2\nmodel: }", "cannot be read as YAML"),
        (b"\x89PNG\r\n", "cannot be read as YAML"),
        (b"", "has no settings"),
    ],
)
def test_an_invalid_config_file_is_named(refused, workplace, content, expected):
    (workplace / "broken.yaml").write_bytes(content)
    assert f"broken.yaml {expected}" in refused(*FIT, "--config", "broken.yaml")


def test_a_missing_config_file_is_named(refused):
    assert "nowhere.yaml" in refused("fit", "--config", "nowhere.yaml")


def test_without_arguments_the_commands_are_listed(run):
    status, out, err = run()
    assert status == 2
    assert "fit" in out + err
    assert "Traceback" not in out + err


def test_a_missing_data_folder_is_named(refused):
    shutil.rmtree("my_folder")
    assert "my_folder" in refused(*FIT)


def test_a_truncated_image_is_named_even_from_a_worker_process(refused):
    edit("num_workers: 0", "num_workers: 1")
    for image in Path("my_folder/images").iterdir():
        image.write_bytes(image.read_bytes()[:-500])
    message = refused(*FIT)
    assert "my_folder/images/" in message
    assert ".png" in message


def test_a_label_beyond_the_classes_is_named(refused):
    edit("num_classes: 3", "num_classes: 2")
    message = refused(*FIT)
    assert "my_folder/masks/" in message
    assert "2" in message


@pytest.mark.parametrize("name", ["last", "best", "somewhere.ckpt"])
def test_a_missing_checkpoint_is_an_error_and_starts_no_new_run(refused, name):
    message = refused(*FIT, "--ckpt_path", name)
    assert f"--ckpt_path {name}" in message
    assert "Checkpoints in run/checkpoints: none" in message
    assert "--run_dir" in message


def test_an_invalid_checkpoint_is_named(refused):
    assert "config.yaml is not a checkpoint" in refused(*FIT, "--ckpt_path", "config.yaml")


def test_a_misspelt_transform_argument_is_an_error(refused):
    edit(
        "    num_workers: 0\n",
        "    num_workers: 0\n    train_transforms:\n"
        "      - class_path: albumentations.HorizontalFlip\n        init_args: {prob: 0.5}\n",
    )
    message = refused(*FIT)
    assert "HorizontalFlip" in message
    assert "prob" in message


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--model.head.clip=-1", "clip is -1.0, but must be"),
        ("--model.head.void=foo", "foo"),
        ("--data.fractions=[0.5,0.5]", "fractions"),
        ("--model=nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_a_value_out_of_range_gives_one_message(refused, option, expected):
    assert expected in refused(*FIT, option)


def test_a_loss_under_the_wrong_prediction_is_refused(refused):
    edit("class_path: MapL1Loss", "class_path: CrossEntropyLoss")
    message = refused(*FIT)
    assert "losses.distance is CrossEntropyLoss of 'distance'" in message
    assert "(prediction, target, mask)" in message


def test_a_loss_of_an_unknown_prediction_says_what_the_head_predicts(refused):
    edit("prediction: distance\n", "prediction: distances\n")
    message = refused(*FIT)
    assert "SignedDistanceHead predicts: logits, distance" in message


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (
            "{class_path: PointLoss, init_args: {kernel_size: 6}}",
            "kernel_size is 6: it must be odd",
        ),
        ("{class_path: PointLoss, init_args: {kernel_size: 7.5}}", "kernel_size"),
        ("{class_path: PointLoss, init_args: {splitter: D}}", "splitter"),
        ("{class_path: EquipotentialLineLoss, init_args: {mu: 3}}", "mu is 3: it must be even"),
        (
            "{class_path: CrossEntropyLoss, init_args: {class_weights: [1, 2]}}",
            "class_weights holds 2 weights, but there are 3 classes",
        ),
        (
            "{class_path: CrossEntropyLoss, init_args: {class_weights: [1, -2, 1]}}",
            "class_weights is [1.0, -2.0, 1.0], expected numbers of 0 or more",
        ),
        ("{class_path: BoundaryLoss, init_args: {classes: [3]}}", "there are 3 classes"),
        ("{class_path: DiceLoss, init_args: {smooth: -1}}", "smooth is -1"),
        ("{class_path: SobelLoss, init_args: {weight: 0}}", "weight is 0"),
    ],
)
def test_a_bad_argument_of_a_loss_gives_one_message(refused, loss, expected):
    edit("loss:\n          class_path: CrossEntropyLoss", f"loss: {loss}")
    assert expected in refused(*FIT)


def test_too_many_weights_of_a_regressed_map_give_one_message(refused):
    edit("class_path: MapL1Loss", "class_path: MapL1Loss, init_args: {class_weights: [1, 2, 3, 4]}")
    edit("loss:\n          class_path: MapL1Loss", "loss: {class_path: MapL1Loss")
    edit("[1, 2, 3, 4]}", "[1, 2, 3, 4]}}")
    assert "class_weights holds 4 weights, but there are 3 classes" in refused(*FIT)


def test_a_weight_that_is_not_a_number_gives_one_message(refused):
    edit("weight: 2.0", "weight: .nan")
    assert "the weight of a loss is nan, expected a finite number" in refused(*FIT)


def test_a_section_given_as_config_is_told_its_option(refused):
    message = refused("fit", "--config", "data/folder")
    assert message.endswith("data/folder.yaml.")
    assert "holds one section of a configuration, not a whole one. Give it as --data " in message


def test_data_settings_without_a_configuration_say_what_to_give(refused):
    assert "no configuration is given" in refused("fit", "--data.root", "my_folder")


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--lr", "--model.optimization.lr"),
        ("--optimizer", "--model.optimization.optimizer"),
        ("--epochs", "--trainer.max_epochs"),
    ],
)
def test_names_of_other_programs_are_answered_with_ours(refused, option, advice):
    message = refused(*FIT, option, "1")
    assert message.startswith(f"there is no option {option}. Use {advice} ")


def test_a_schedule_whose_second_argument_is_not_the_number_of_steps_is_refused(refused):
    schedule = "--model.optimization.step_schedule"
    message = refused(*FIT, f"{schedule}=OneCycleLR", f"{schedule}.max_lr=0.1")
    assert "OneCycleLR cannot be a step_schedule" in message
    assert "its second argument is max_lr" in message


def test_what_the_program_passes_is_no_setting(refused):
    message = refused(*FIT, "--model.network.in_channels", "4")
    assert "'in_channels' of Unet is not a setting: the program passes it" in message


@pytest.mark.parametrize(
    "option", ["--trainer.max_epochs", "--model.head.clip", "--model.losses", "--model", "--x"]
)
def test_a_message_repeats_at_most_a_line(refused, option):
    for value in ("x" * 9000, str(list(range(3000)))):
        assert len(refused(*FIT, f"{option}={value}")) < 300


@pytest.mark.parametrize("wrong", ["lightning_seg.cli.main", "lightning.pytorch.Trainer"])
@pytest.mark.parametrize("where", ["SegmentationTask", "FolderDataModule"])
def test_a_class_of_another_kind_gets_one_sentence(refused, wrong, where):
    config = Path("config.yaml")
    config.write_text(config.read_text().replace(where, wrong))
    message = refused(*FIT)
    assert f"{wrong} cannot be used here (config.yaml:" in message
