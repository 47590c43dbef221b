"""Superiority and epochs to a score, for hand-written epochs."""

import json

import pytest

from lightning_seg.experiments.comparison import compare
from lightning_seg.experiments.comparison.convergence import first_reached, superiority
from lightning_seg.experiments.comparison.runs import Run


@pytest.fixture
def run(tmp_path):
    def make(name, scores, seed=1, first=0):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        lines = [
            {"epoch": first + n, "seconds": 1.0, "train/loss": 0.1}
            | ({} if score == "none" else {"val/boundary_iou": score, "val/iou": 0.5})
            for n, score in enumerate(scores)
        ]
        (folder / "epochs.jsonl").write_text("".join(json.dumps(li) + "\n" for li in lines))
        (folder / "fit.json").write_text(json.dumps({"seeds": {"seed_everything": seed}}))
        return Run(folder)

    return make


def test_the_best_run_of_each_epoch_leads_and_ties_share_the_lead(run):
    runs = {
        "a": run("a", [0.1, 0.3, 0.5, 0.4]),
        "b": run("b", [0.2, 0.3, 0.4, 0.4]),
        "c": run("c", [0.0, 0.3, 0.1, 0.2]),
    }
    # b; all three; a; a and b.
    actual = superiority(runs)
    assert actual == pytest.approx(
        {"a": (1 / 3 + 1 + 1 / 2) / 4, "b": (1 + 1 / 3 + 1 / 2) / 4, "c": 1 / 12}
    )
    assert sum(actual.values()) == pytest.approx(1)


def test_only_epochs_validated_by_all_runs_count(run):
    runs = {"a": run("a", [0.1, "none", 0.5, 0.4]), "b": run("b", [0.2, 0.9, 0.4])}
    assert superiority(runs) == {"a": 0.5, "b": 0.5}
    assert superiority({"a": runs["a"], "c": run("c", ["none"] * 4)}) == {}


def test_a_run_with_nan_does_not_lead(run):
    assert superiority({"a": run("a", [None, 0.5]), "b": run("b", [0.2, 0.4])}) == {
        "a": 0.5,
        "b": 0.5,
    }


def test_epochs_are_counted_from_one(run):
    one = run("a", ["none", 0.2, None, 0.4, 0.3])
    assert first_reached(one, "boundary_iou", 0.3) == 4
    assert first_reached(one, "boundary_iou", 0.2) == 2
    assert first_reached(one, "boundary_iou", 0.5) is None


def test_a_loss_is_reached_from_above(run):
    one = run("a", [0.1] * 4)
    lines = [json.dumps({"epoch": n, "val/loss": 1 - 0.3 * n}) for n in range(4)]
    (one.folder / "epochs.jsonl").write_text("\n".join(lines))
    assert first_reached(one, "loss", 0.5) == 3
    assert first_reached(one, "loss", 0.01) is None


def test_shares_are_means_over_the_seeds_and_the_goal_is_the_baselines_last(run, tmp_path):
    for name, scores, seed in (
        ("base/1", [0.1, 0.4], 1),
        ("base/2", [0.1, 0.2], 2),
        ("ours/1", [0.31, 0.35], 1),
        ("ours/2", [0.2, 0.25], 2),
    ):
        run(name, scores, seed)
    actual = compare([f"base={tmp_path}/base", f"ours={tmp_path}/ours"])
    base, ours = actual.results
    assert base.superiority == [0.5, 0.0]
    assert ours.superiority == [0.5, 1.0]
    assert base.goal == ours.goal == pytest.approx(0.3)
    assert base.reached == [2, None]
    assert ours.reached == [1, None]
    actual = compare([f"base={tmp_path}/base", f"ours={tmp_path}/ours"], reach=("iou", 0.5))
    assert actual.results[0].reached == [1, 1]
