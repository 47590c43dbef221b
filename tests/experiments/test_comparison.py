"""Comparison of two methods with two seeds, checked against independent computations."""

import csv
import json
import re
import shutil
import sys

import numpy as np
import pytest
from conftest import METHODS, SEEDS

from lightning_seg import cli
from lightning_seg.experiments.comparison import (
    compare,
    export_record,
    find_runs,
    write_comparison,
)
from lightning_seg.experiments.comparison.bootstrap import Scored, drawn_mean, interval, widening

WIDTHS = (1, 2, 3, 5, 10)
CLASSES = ("ground", "house", "car")


@pytest.fixture(scope="session")
def compared(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    write_comparison(compare([runs], resamples=200), folder)
    return folder


@pytest.fixture
def record(compared):
    return json.loads((compared / "comparison.json").read_text())


def counts(run):
    with (run / "test" / "counts_per_image.csv").open() as file:
        return list(csv.DictReader(file))


def scores(rows):
    """Return class means of the summed rows for each score."""
    actual = {name: [] for name in ("iou", "f1", "boundary_iou", "boundary_f")}
    actual |= {f"trimap_iou/{w}": [] for w in WIDTHS}
    right, pixels = 0, 0
    for name in CLASSES:
        own = [{k: int(v) for k, v in r.items() if k not in ("name", "class")}
               for r in rows if r["class"] == name]  # fmt: skip
        total = {key: sum(row[key] for row in own) for key in (own[0] if own else ())}
        if not own:
            continue
        right, pixels = right + total["intersection"], pixels + total["truth"]
        both = total["truth"] + total["predicted"]
        actual["iou"].append(total["intersection"] / (both - total["intersection"]))
        actual["f1"].append(2 * total["intersection"] / both)
        if total["boundary_union"]:
            actual["boundary_iou"].append(total["boundary_intersection"] / total["boundary_union"])
        if f := [boundary_f(row) for row in own if row["contour_predicted"] + row["contour_truth"]]:
            actual["boundary_f"].append(np.mean(f))
        for width in WIDTHS:
            if total[f"trimap_union/{width}"]:
                inside = total[f"trimap_intersection/{width}"] / total[f"trimap_union/{width}"]
                actual[f"trimap_iou/{width}"].append(inside)
    return {name: np.mean(values) for name, values in actual.items()} | {"accuracy": right / pixels}


def boundary_f(row):
    predicted, truth = row["contour_predicted"], row["contour_truth"]
    precision = row["contour_predicted_matched"] / predicted if predicted else 1
    recall = row["contour_truth_matched"] / truth if truth else 1
    return 2 * precision * recall / (precision + recall) if precision + recall else 0


def means(record, method):
    [actual] = [m for m in record["methods"] if m["name"] == method]
    return {row["measure"]: row for row in actual["scores"] if row["class"] == "mean"}


@pytest.mark.parametrize("method", METHODS)
def test_means_and_deviations_over_seeds_follow_from_the_images_counts(method, runs, record):
    each = [scores(counts(runs / method / f"seed{seed}")) for seed in SEEDS]
    actual = means(record, method)
    assert set(actual) == set(each[0])
    for measure, row in actual.items():
        values = [one[measure] for one in each]
        assert row["mean"] == pytest.approx(np.mean(values), abs=1e-8)
        assert row["standard_deviation"] == pytest.approx(np.std(values, ddof=1), abs=1e-8)


def test_class_scores_equal_those_of_the_evaluations(runs, record):
    [method] = [m for m in record["methods"] if m["name"] == "cross_entropy"]
    each = [
        json.loads((runs / "cross_entropy" / f"seed{s}" / "test" / "metrics.json").read_text())
        for s in SEEDS
    ]
    rows = [r for r in method["scores"] if r["class"] == "house" and r["measure"] != "accuracy"]
    assert len(rows) == 4 + len(WIDTHS)
    for row in rows:
        values = [one["per_class"]["house"][row["measure"]] for one in each]
        assert row["mean"] == pytest.approx(np.mean(values), abs=1e-8)


def test_wrong_pixels_are_counted_by_cause(runs, compared):
    page = (compared / "comparison.md").read_text()
    table = page.partition("## Wrong pixels near boundaries by cause")[2].partition("##")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    heading, _, *methods = rows
    for method, cells in zip(METHODS, methods, strict=True):
        each = []
        for seed in SEEDS:
            with (runs / method / f"seed{seed}" / "test" / "boundary_errors.csv").open() as file:
                each += [r for r in csv.DictReader(file) if r["width"] == "5"]
        each = [row for row in each if row["as"] == "truth"]
        for cause, cell in zip(heading[2:], cells[2:], strict=True):
            pixels = sum(int(row[cause.replace(" ", "_")]) for row in each) / len(SEEDS)
            assert cell == f"{pixels / 1000:,.1f}"


def slow_interval(runs, measure, resamples):
    """Return the interval, computed in a loop over resamples, images and seeds."""
    rows = {m: [counts(runs / m / f"seed{s}") for s in SEEDS] for m in METHODS}
    names = sorted({row["name"] for row in rows[METHODS[0]][0]})
    images = np.random.default_rng([1, 0]).integers(len(names), size=(resamples, len(names)))
    trainings = np.random.default_rng([2, 2]).integers(2, size=(resamples, 2))
    baseline, method = METHODS

    def difference(seed, chosen):
        drawn = {
            m: [row for name in chosen for row in rows[m][seed] if row["name"] == name]
            for m in METHODS
        }
        return scores(drawn[method])[measure] - scores(drawn[baseline])[measure]

    measured = [difference(seed, names) for seed in (0, 1)]
    actual = []
    for picked, seeds in zip(images, trainings):
        mean = np.mean([difference(seed, [names[i] for i in picked]) for seed in (0, 1)])
        off = np.mean([measured[seed] for seed in seeds]) - np.mean(measured)
        actual.append(mean + widening(2) * off)
    return np.quantile(actual, [0.025, 0.975]), np.mean(measured)


@pytest.mark.parametrize("measure", ["boundary_iou", "boundary_f", "trimap_iou/3"])
def test_intervals_equal_those_of_a_plain_loop(measure, runs, record):
    (low, high), difference = slow_interval(runs, measure, 200)
    row = means(record, "distance_regression")[measure]
    assert row["baseline"] == "cross_entropy"
    assert row["difference"] == pytest.approx(difference, abs=1e-8)
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-7)
    assert row["low"] < row["difference"] < row["high"]


def test_intervals_over_few_seeds_have_their_nominal_coverage():
    """For normal scores; without widening, coverage over two seeds is only one half."""
    rng = np.random.default_rng(0)
    for count, lowest in ((2, 0.91), (3, 0.92), (5, 0.92)):
        held = 0
        for _ in range(400):
            each = rng.normal(0.0, 1.0, count)
            trainings = [
                Scored(np.full((1, 1), value), np.full((500, 1, 1), value)) for value in each
            ]
            low, high = interval(drawn_mean(trainings, 2))
            held += bool(low[0, 0] <= 0 <= high[0, 0])
        assert lowest < held / 400 <= 1


def test_the_same_runs_give_identical_files(runs, compared, tmp_path):
    written = write_comparison(compare([runs], resamples=200), tmp_path)
    assert {path.name for path in written} == {
        "comparison.md", "comparison.csv", "comparison.json", "comparison.html",
        "curves.png", "trimap.png", "differences.png",
    }  # fmt: skip
    for path in written:
        assert path.read_bytes() == (compared / path.name).read_bytes()


def test_exported_records_suffice_for_a_comparison(copies, compared, tmp_path):
    assert not list(copies.rglob("*.ckpt"))
    size = sum(path.stat().st_size for path in (copies / "cross_entropy" / "seed1").rglob("*"))
    assert size < 60_000
    write_comparison(compare([copies], resamples=200), tmp_path / "again")
    for name in ("comparison.csv", "curves.png", "trimap.png"):
        assert (tmp_path / "again" / name).read_bytes() == (compared / name).read_bytes()


def test_the_page_is_self_contained(compared):
    page = (compared / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)|https?://|@import|url\(", page)
    for text in ("distance_regression", "Trimap IoU", "house", "superiority", "seed1"):
        assert text in page


def test_the_table_has_one_row_per_method_score_and_class(compared):
    with (compared / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    scored = [row for row in rows if row["class"]]
    # Four measures and five widths of three classes and their mean, and one accuracy.
    assert len(scored) == 2 * (9 * 4 + 1)
    others = {row["measure"] for row in rows if not row["class"]}
    assert {"superiority", "seconds", "samples_per_second", "parameters"} <= others


def test_costs_come_from_the_run_records(runs, record):
    [method] = [m for m in record["methods"] if m["name"] == "distance_regression"]
    fits = [
        json.loads((runs / "distance_regression" / f"seed{s}" / "fit.json").read_text())
        for s in SEEDS
    ]
    assert method["cost"]["seconds"] == pytest.approx(np.mean([f["seconds"] for f in fits]))
    assert method["cost"]["parameters"] == fits[0]["parameters"]["trained"] > 1000
    assert [run["seed"] for run in method["runs"]] == [1, 2]


def test_the_command_prints_writes_and_exports(runs, tmp_path, capsys, monkeypatch):
    words = ["compare", str(runs), "--output", str(tmp_path / "out"), "--resamples", "100"]
    words += ["--records", str(tmp_path / "kept"), "--baseline", "distance_regression"]
    monkeypatch.setattr(sys, "argv", ["lightning-seg", *words])
    cli.main()
    printed = capsys.readouterr().out
    assert "cross_entropy against distance_regression" in printed
    assert (tmp_path / "out" / "comparison.html").is_file()
    assert (tmp_path / "kept" / "cross_entropy" / "seed2" / "fit.json").is_file()


def test_methods_can_be_named(runs):
    actual = compare(
        [f"plain={runs}/cross_entropy", f"ours={runs}/distance_regression/seed1"], resamples=100
    )
    assert [result.method.name for result in actual.results] == ["plain", "ours"]
    assert actual.results[1].difference.baseline == "plain"
    assert actual.results[1].difference.trainings == 1
    assert any("another seed may reverse" in note for note in actual.notes)


def test_seeds_of_only_one_method_do_not_enter_the_difference(runs, copies):
    shutil.rmtree(copies / "distance_regression" / "seed2")
    actual = compare([copies], resamples=100)
    each = [
        scores(counts(runs / method / "seed1"))["boundary_iou"]
        for method in ("distance_regression", "cross_entropy")
    ]
    row = actual.measures.index("boundary_iou")
    assert actual.results[1].difference.mean[row, 0] == pytest.approx(each[0] - each[1], abs=1e-8)
    assert "is computed from 1 shared seed." in str(actual.notes)


def test_runs_on_different_processors_are_said_not_to_compare_in_time(copies):
    assert not any("Times do not compare" in note for note in compare([copies]).notes)
    path = copies / "cross_entropy" / "seed1" / "fit.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"cpu": "Fast Processor 9"}))
    kinds = sorted([f"1 x CPU {record['cpu']}", "1 x CPU Fast Processor 9"])
    note = f"Times do not compare, as training devices differ: {'; '.join(kinds)}."
    assert note in compare([copies]).notes


def test_an_epoch_whose_line_is_still_being_written_is_left_out(copies):
    path = copies / "cross_entropy" / "seed1" / "epochs.jsonl"
    before = find_runs(copies)[0].epochs
    path.write_text(path.read_text() + '{"epoch": 2, "ste')
    assert find_runs(copies)[0].epochs == before


def test_an_evaluation_of_a_checkpoint_that_was_replaced_since_is_noted(runs, copies):
    folder = copies / "cross_entropy" / "seed1"
    evaluated = json.loads((folder / "test" / "record.json").read_text())["checkpoint"]
    (folder / evaluated).parent.mkdir()
    shutil.copy(runs / "cross_entropy" / "seed1" / evaluated, folder / evaluated)
    note = f"Evaluate again, as the checkpoint was replaced after its evaluation: {folder}."
    assert note not in compare([copies], resamples=100).notes
    shutil.copy(runs / "cross_entropy" / "seed2" / evaluated, folder / evaluated)
    assert note in compare([copies], resamples=100).notes


def test_runs_that_are_not_evaluated_are_left_out(copies):
    """With the others' intervals, and a note that says why."""
    training, waiting = copies / "focal" / "seed1", copies / "distance_regression" / "seed2"
    shutil.copytree(copies / "cross_entropy" / "seed1", training)
    for folder in (training, waiting):
        shutil.rmtree(folder / "test")
    record = json.loads((training / "fit.json").read_text())
    (training / "fit.json").write_text(json.dumps(record | {"finished": False}))
    notes = [
        f"Left out, as their training has not ended: {training} (2 epochs).",
        f"Left out, as they have no test counts: {waiting}; run lightning-seg test with their "
        "checkpoints.",
    ]
    for split in (None, "test"):
        actual = compare([copies], split=split, resamples=100)
        assert actual.has_intervals
        assert actual.notes[:2] == notes
        assert {r.method.name: len(r.runs) for r in actual.results} == {
            "cross_entropy": 2, "distance_regression": 1
        }  # fmt: skip


def test_runs_without_any_score_are_left_out(copies):
    for path in copies.rglob("test"):
        shutil.rmtree(path)
    folder = copies / "distance_regression" / "seed2"
    (folder / "epochs.jsonl").write_text("")
    actual = compare([copies])
    assert [len(result.runs) for result in actual.results] == [2, 1]
    assert actual.notes[0].startswith(
        f"Left out, as they have no val counts and no validated epoch: {folder};"
    )


def test_folders_of_a_method_that_hold_no_run_are_left_out(runs, tmp_path):
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    folders = f"{waiting},{runs}/cross_entropy/seed1"
    actual = compare([f"a={folders}", f"b={runs}/distance_regression"], resamples=100)
    assert [len(result.runs) for result in actual.results] == [1, 2]
    assert f"a: left out, as they hold no run: {waiting}." in actual.notes


def test_without_evaluations_the_last_epochs_are_compared_without_intervals(copies, tmp_path):
    for path in copies.rglob("test"):
        shutil.rmtree(path)
    actual = compare([copies])
    assert not actual.has_intervals
    assert "without intervals" in actual.notes[0]
    last = [
        json.loads((copies / "cross_entropy" / f"seed{s}" / "epochs.jsonl").read_text()
                   .splitlines()[-1])["val/boundary_iou"] for s in SEEDS
    ]  # fmt: skip
    row = actual.measures.index("boundary_iou")
    assert actual.results[0].mean[row, 0] == pytest.approx(np.mean(last))
    assert actual.columns == ("mean", *CLASSES)
    write_comparison(actual, tmp_path / "out")
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert "helps" not in page
    assert "differences.png" not in page


def test_only_the_records_of_a_run_are_copied(runs, tmp_path):
    copied = export_record(runs / "cross_entropy" / "seed1", tmp_path / "kept")
    names = {str(path.relative_to(tmp_path / "kept")) for path in copied}
    assert names == {
        "config.yaml", "test/config.yaml", "fit.json", "epochs.jsonl", "epochs_per_class.csv",
        "test/metrics.json", "test/boundary_errors.csv", "test/counts_per_image.csv",
        "test/record.json",
    }  # fmt: skip


def test_a_swept_number_is_plotted_as_a_curve(runs, tmp_path):
    folders = sorted(path.parent for path in runs.rglob("fit.json"))[:3]
    swept = [f"distance.weight {w}={run}" for w, run in zip((0.5, 1, 2), folders, strict=True)]
    names = {path.name for path in write_comparison(compare(swept, resamples=100), tmp_path)}
    assert {"setting_boundary_iou.png", "setting_accuracy.png"} <= names
    assert "setting_accuracy.png" in (tmp_path / "comparison.md").read_text()


def test_versions_are_not_plotted_as_numbers(runs, tmp_path):
    folders = sorted(path.parent for path in runs.rglob("fit.json"))[:3]
    named = [f"release 1.{n}.0={run}" for n, run in enumerate(folders)]
    write_comparison(compare(named, resamples=100), tmp_path)
    assert not list(tmp_path.glob("setting_*.png"))


def test_methods_without_a_common_number_have_no_curve(compared):
    assert not list(compared.glob("setting_*.png"))
