"""Grouping of runs into methods, and the names of methods."""

import json

import pytest
import yaml

from lightning_seg.experiments.comparison import compare
from lightning_seg.experiments.comparison.labels import method_label, network_label, seed
from lightning_seg.experiments.comparison.runs import Run, export_records, find_runs


@pytest.fixture
def run(tmp_path):
    def make(name, model=None, command=(), data=None, seed=1, score=0.5, trainer=None):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        network = {"class_path": "a.Unet", "init_args": {"encoder": "resnet18", "weights": None}}
        losses = {"cross_entropy": {"loss": {"class_path": "b.CrossEntropyLoss"}, "weight": 1.0}}
        model = {"network": network, "losses": losses} | (model or {})
        config = {
            "seed_everything": seed,
            "run_dir": str(folder),
            "model": {"class_path": "SegmentationTask", "init_args": model},
            "data": {"class_path": "d.Data", "init_args": data or {}},
            "trainer": trainer or {"max_epochs": 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        fit = {"command": ["lightning-seg", "fit", *command]}
        (folder / "fit.json").write_text(json.dumps(fit))
        epoch = {"epoch": 0, "seconds": 1.0, "val/iou": score, "val/boundary_iou": score}
        (folder / "epochs.jsonl").write_text(json.dumps(epoch) + "\n")
        return Run(folder)

    return make


def term(name, weight=1.0):
    return {"loss": {"class_path": f"lightning_seg.losses.{name}"}, "weight": weight}


def names(tmp_path, **kwargs):
    return [result.method.name for result in compare([tmp_path], **kwargs).results]


def test_a_method_is_named_after_its_file(run):
    command = ("--config", "e/unet.yaml", "--config=configs/method/epl_point.yaml")
    assert method_label(run("a", command=command)) == "epl_point"
    command = ("--config", "configs/method/epl.yaml", "--config", "mine/method/wide.yaml")
    assert method_label(run("b", command=command)) == "epl+wide"


def test_without_a_file_a_method_is_named_by_losses_and_head(run):
    losses = {"cross_entropy": term("CrossEntropyLoss"), "distance": term("MapL1Loss", 2.0)}
    head = {"class_path": "lightning_seg.heads.SignedDistanceHead"}
    model = {"losses": losses, "head": head}
    assert method_label(run("a", model)) == "cross_entropy + 2 distance (SignedDistanceHead)"
    model["losses"] = losses | {"distance": None, "line": term("Line", 0.0)}
    assert method_label(run("b", model)) == "cross_entropy (SignedDistanceHead)"
    old = {"logits": [term("DiceLoss")], "distance": []}
    assert method_label(run("c", {"losses": old})) == "DiceLoss"


def test_network_and_seed_are_read(run):
    one = run("a", seed=7)
    assert network_label(one) == "Unet resnet18"
    assert seed(one) == 7


def test_runs_that_differ_only_in_seed_are_one_method(run, tmp_path):
    for number in (1, 2, 3):
        weights = {"weights": f"before/first/seed{number}/checkpoints/best.ckpt"}
        run(f"seed{number}", weights, seed=number, data={"root": f"data{number}"})
    [result] = compare([tmp_path]).results
    assert [key[1] for key in result.method.runs] == [1, 2, 3]


def test_equal_labels_with_different_settings_are_distinguished(run, tmp_path):
    command = ("--config", "configs/method/epl.yaml")
    for weight in (0.1, 0.2):
        run(f"w{weight}", {"losses": {"line": term("Line", weight)}}, command)
    assert names(tmp_path) == ["epl (weight 0.1)", "epl (weight 0.2)"]


def test_runs_of_a_sweep_are_named_by_its_choices(run, tmp_path):
    for seed_ in (1, 2):
        for clip in ("clip4", "clip10"):
            run(f"{clip}/seed{seed_}", {"head": {"init_args": {"clip": clip}}}, seed=seed_)
            note = {"labels": {"setting": clip, "size": "small", "seed": str(seed_)}}
            (tmp_path / clip / f"seed{seed_}" / "sweep.json").write_text(json.dumps(note))
    run("before/edge_network/seed1")
    note = {"labels": {"seed": "1"}}
    (tmp_path / "before/edge_network/seed1/sweep.json").write_text(json.dumps(note))
    assert names(tmp_path) == ["clip10", "clip4"]
    export_records(find_runs(tmp_path), tmp_path / "kept")
    assert names(tmp_path / "kept") == ["clip10", "clip4"]
    assert not (tmp_path / "kept" / "before").exists()


def test_sweeps_with_equal_choices_are_told_apart_by_their_folders(run, tmp_path):
    def write(sweep, setting, seed_):
        folder = run(f"{sweep}/{setting}/seed{seed_}", seed=seed_).folder
        note = {"labels": {"setting": setting, "seed": str(seed_)}}
        (folder / "sweep.json").write_text(json.dumps(note))

    for sweep, seed_ in (("long", 1), ("short", 2)):
        for setting in ("cross_entropy", "dice"):
            write(sweep, setting, seed_)
    expected = {"long, cross_entropy", "long, dice", "short, cross_entropy", "short, dice"}
    assert set(names(tmp_path)) == expected
    actual = compare([tmp_path / "short", tmp_path / "long"]).results
    assert {result.method.name for result in actual} == expected
    assert actual[0].method.name == "short, cross_entropy"
    assert names(tmp_path / "long") == ["cross_entropy", "dice"]
    write("longer", "focal", 1)
    assert set(names(tmp_path / "longer")) == {"cross_entropy"}  # of one choice: by configuration


@pytest.mark.parametrize("recorded", [True, False])
def test_runs_that_others_depend_on_are_never_compared(recorded, run, tmp_path):
    """However deep their folders, and with a given name, too."""
    above = "before" if recorded else "runs"
    labels = {"a": "a1", "b": "b1", "c": "c1", "d": "d1", "seed": "1"}
    for name in ("before/first/a1/b1/c1/d1/seed1", "a1/b1/c1/d1/seed1"):
        folder = run(f"{above}/sweep/{name}").folder
        note = {"labels": labels} | ({"name": name} if recorded else {})
        (folder / "sweep.json").write_text(json.dumps(note))
    top = tmp_path / above / "sweep"
    for argument in (top, f"mine={top}"):
        [found] = find_runs(argument)
        assert found.folder == top / "a1/b1/c1/d1/seed1"
    assert find_runs(top / "before")[0].folder.name == "seed1"


def test_a_foreign_file_of_the_name_of_a_sweeps_note_is_ignored(run, tmp_path):
    (run("a").folder / "sweep.json").write_text('{"runs": 3}')
    assert names(tmp_path) == ["cross_entropy"]


def test_the_baseline_of_several_axes_is_the_first_with_cross_entropy(run, tmp_path):
    for loss in ("combo", "cross_entropy", "dice"):
        for network in ("deeplab", "unet"):
            folder = run(f"{loss}/{network}", {"losses": {loss: term("Loss")}}).folder
            note = {"labels": {"loss": loss, "network": network, "seed": "1"}}
            (folder / "sweep.json").write_text(json.dumps(note))
    assert names(tmp_path)[0] == "cross_entropy, deeplab"
    assert names(tmp_path, baseline="dice")[0] == "dice, deeplab"
    assert names(tmp_path, baseline="dice, unet")[0] == "dice, unet"


@pytest.mark.parametrize(
    ("trainer", "name"),
    [
        ({"precision": "bf16-mixed"}, "precision bf16-mixed"),
        ({"callbacks": [{"class_path": "a.b.EMA", "init_args": {}}]}, "callbacks EMA"),
        ({"gradient_clip_algorithm": "value"}, "gradient_clip_algorithm value"),
        ({"sync_batchnorm": True}, "sync_batchnorm true"),
    ],
)
def test_runs_with_other_settings_of_the_trainer_are_other_methods(trainer, name, run, tmp_path):
    run("plain", seed=1, trainer={"max_epochs": 2, "callbacks": None})
    run("other", seed=2, trainer={"max_epochs": 2} | trainer)
    assert f"cross_entropy ({name})" in names(tmp_path)


def test_callbacks_that_watch_and_short_names_of_precision_make_no_method(run, tmp_path):
    watching = [{"class_path": "a.b.LearningRateMonitor", "init_args": {}}]
    run("one", seed=1, trainer={"max_epochs": 2, "callbacks": None, "precision": None})
    run("other", seed=2, trainer={"max_epochs": 2, "callbacks": watching, "precision": 32})
    assert names(tmp_path) == ["cross_entropy"]


def test_each_network_has_its_own_baseline(run, tmp_path):
    for encoder, scores in (("resnet18", (0.5, 0.6)), ("resnet34", (0.7, 0.6))):
        network = {"class_path": "a.Unet", "init_args": {"encoder": encoder}}
        run(f"{encoder}/ce", {"network": network}, score=scores[0])
        dice = {"dice": term("DiceLoss")}
        run(f"{encoder}/dice", {"network": network, "losses": dice}, score=scores[1])
    actual = {r.method.name: r for r in compare([tmp_path]).results}
    assert list(actual) == [
        "cross_entropy, Unet resnet18", "dice, Unet resnet18",
        "cross_entropy, Unet resnet34", "dice, Unet resnet34",
    ]  # fmt: skip
    for encoder, difference in (("resnet18", 0.1), ("resnet34", -0.1)):
        one = actual[f"dice, Unet {encoder}"]
        assert one.difference.baseline == f"cross_entropy, Unet {encoder}"
        assert one.difference.mean[0, 0] == pytest.approx(difference)
    assert actual["dice, Unet resnet34"].superiority == [0.0]


def test_folds_are_paired_like_seeds(run, tmp_path):
    for method, scores in (("cross_entropy", (0.2, 0.8)), ("dice", (0.3, 0.7))):
        for fold, score in enumerate(scores):
            losses = {"losses": {method: term("Loss")}}
            data = {"fold": fold, "val_list": f"fold{fold}.txt"}
            run(f"{method}/{fold}", losses, data=data, score=score)
    base, dice = compare([tmp_path]).results
    assert len(base.runs) == len(dice.runs) == dice.difference.trainings == 2
    assert dice.superiority == [1.0, 0.0]


def test_the_baseline_is_cross_entropy_or_the_first_or_the_one_named(run, tmp_path):
    run("a", {"losses": {"dice": term("DiceLoss")}})
    run("b")
    assert names(tmp_path) == ["cross_entropy", "dice"]  # the baseline comes first
    assert compare([tmp_path]).results[1].difference.baseline == "cross_entropy"
    assert compare([tmp_path], baseline="dice").results[1].difference.baseline == "dice"
    run("c", {"losses": {"focal": term("FocalLoss")}})
    actual = compare([tmp_path / "a", tmp_path / "c"])
    assert actual.results[1].difference.baseline == "dice"
