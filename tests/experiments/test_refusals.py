"""Runs that cannot be compared are refused with a message that names them and the reason."""

import json
import shutil

import pytest
import yaml

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison import compare


def change(path, **changed):
    record = json.loads(path.read_text())
    record.update(changed)
    path.write_text(json.dumps(record))


def metrics(copies, method="distance_regression", seed=1):
    return copies / method / f"seed{seed}" / "test" / "metrics.json"


def refused(*arguments, **kwargs):
    with pytest.raises(InputError) as error:
        compare(arguments, resamples=100, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("tolerance", 3, "tolerance is 3, not 0.008"),
        ("boundary_width", 2, "boundary_width is 2, not null"),
        ("ignore_index", 0, "ignore_index is 0, not 255"),
        ("merged_classes", {"a": ["car"]}, 'merged_classes is {"a": ["car"]}, not {}'),
    ],
)
def test_different_metric_settings_are_refused(setting, value, expected, copies):
    path = metrics(copies)
    settings = json.loads(path.read_text())["settings"]
    change(path, settings=settings | {setting: value})
    message = refused(copies)
    assert f"evaluated like {copies}/cross_entropy/seed1" in message
    assert f"{copies}/distance_regression/seed1: {expected}" in message
    assert "distance_regression/seed2" not in message


def test_settings_of_scores_that_are_not_compared_may_differ(copies):
    path = metrics(copies)
    settings = json.loads(path.read_text())["settings"]
    change(path, settings=settings | {"surface_distances": False, "curve_tolerances": [4]})
    assert compare([copies], resamples=100).has_intervals


def test_different_inference_is_refused(copies):
    path = copies / "distance_regression" / "seed1" / "test" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["model"]["init_args"]["inference"] = {"class_path": "TestTimeAugmentation"}
    path.write_text(yaml.safe_dump(config))
    assert 'inference is {"class_path": "TestTimeAugmentation"}, not null' in refused(copies)


def rename(folder, names):
    for name in ("metrics.json", "counts_per_image.csv"):
        path = folder / "test" / name
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"').replace(f"\n{old},", f"\n{new},")
        path.write_text(text)
    change(folder / "test" / "metrics.json", truth="another")


def test_different_images_are_refused(copies):
    images = json.loads(metrics(copies).read_text())["images"]
    rename(copies / "distance_regression" / "seed1", {images[0]: "new"})
    message = refused(copies)
    assert f"it lacks {images[0]} and has new; {len(images) - 1} are shared" in message
    for seed in (1, 2):
        folder = copies / "distance_regression" / f"seed{seed}"
        rename(folder, {name: f"{name}x" for name in images})
    assert "no images are shared" in refused(copies)


def test_different_ground_truth_of_the_same_images_is_refused(copies):
    folder = copies / "distance_regression" / "seed2" / "test"
    lines = (folder / "counts_per_image.csv").read_text().splitlines()
    column = lines[0].split(",").index("truth")
    cells = lines[1].split(",")
    before = int(cells[column])
    cells[column] = str(before + 1)
    lines[1] = ",".join(cells)
    (folder / "counts_per_image.csv").write_text("\n".join(lines) + "\n")
    assert "the files are not from the same evaluation" in refused(copies)
    # As if the evaluation itself had found it so.
    record = json.loads((folder / "metrics.json").read_text())
    from lightning_seg.experiments.comparison import evaluation
    from lightning_seg.experiments.comparison.runs import Run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_check", lambda *args: None)
        read = evaluation.read_evaluation(Run(folder.parent), "test")
    scalars = dict(zip(read.scale.measures, read.figures[:, 0].tolist()))
    change(folder / "metrics.json", scalars=record["scalars"] | scalars, truth="another")
    expected = (
        f"the ground truth of {cells[0]} differs: {before + 1} pixels of {cells[1]}, not {before}"
    )
    assert expected in refused(copies)


def test_folders_without_runs_are_refused(copies, tmp_path):
    assert "does not exist" in refused(tmp_path / "nowhere")
    many = ",".join(str(tmp_path / f"run{n}") for n in range(100))  # longer than a path may be
    assert f"{tmp_path}/run0 does not exist" in refused(f"name={many}")
    (tmp_path / "file").touch()
    assert "file is a file; give a run's folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "contains no run" in refused(tmp_path / "empty")
    assert "names no runs" in refused("name=")
    assert "No runs were given" in refused()


def test_a_missing_baseline_is_refused(copies):
    message = refused(copies, baseline="dice")
    assert "no method 'dice'; there are 'cross_entropy', 'distance_regression'" in message


def test_runs_without_any_test_are_not_compared_on_it(copies):
    for path in copies.rglob("test"):
        shutil.rmtree(path)
    message = refused(copies, split="test")
    assert message.startswith("No run is left to compare. Left out, as they have no test counts: ")
    assert "cross_entropy/seed1" in message
    assert message.endswith("and 1 more; run lightning-seg test with their checkpoints.")


def test_an_unreadable_file_is_named(copies):
    path = copies / "cross_entropy" / "seed1" / "epochs.jsonl"
    path.write_text(path.read_text() + "{\n")
    assert f"{path} cannot be read" in refused(copies)


def test_an_evaluation_of_another_version_is_refused(copies):
    change(metrics(copies), settings={})
    assert "holds no evaluation of this version" in refused(copies)


def test_two_runs_of_a_method_with_the_same_seed_are_refused(copies):
    shutil.copytree(copies / "cross_entropy" / "seed1", copies / "cross_entropy" / "again")
    message = refused(copies)
    assert "again and" in message
    assert "seed1 are runs of the same method, cross_entropy, with the same seed, 1" in message


def test_a_run_given_under_two_names_is_refused(copies):
    folder = copies / "cross_entropy" / "seed1"
    assert "was given twice" in refused(f"a={folder}", f"b={folder}")


def test_an_unknown_score_to_reach_is_refused(copies):
    assert "--reach dice: no run has it" in refused(copies, reach=("dice", 0.5))


def test_too_few_resamples_are_refused(copies):
    with pytest.raises(InputError, match="needs 100 or more"):
        compare([copies], resamples=10)
