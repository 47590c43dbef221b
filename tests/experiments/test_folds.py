"""Comparison of cross-validations: the images of all folds count together, for each seed."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from test_comparison import scores
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison import compare, write_comparison
from lightning_seg.experiments.comparison.bootstrap import widening
from lightning_seg.experiments.comparison.page import page

CLASSES = ["ground", "house", "car"]
# The share of wrong pixels of a method.
METHODS = {"cross_entropy": 0.3, "dice": 0.1}


class Predicts(LightningModule):
    num_classes = 3

    def validation_step(self, batch, batch_idx):
        return batch


class PredictsLabels(Predicts):
    multi_label = True


def samples(images, wrong, seed):
    """Yield labelled scenes of which a share ``wrong`` is predicted at random."""
    noise = np.random.default_rng([int(seed), images[0], int(100 * wrong)])
    for number in images:
        mask = np.zeros((24, 40), np.int64)
        mask[4 + number : 16, 4:20] = 1
        mask[6:20, 24 + number : 36] = 2
        random = noise.integers(0, 3, mask.shape)
        preds = np.where(noise.random(mask.shape) < wrong, random, mask)
        yield {"mask": torch.tensor(mask), "preds": torch.tensor(preds), "name": f"{number}"}


def validate(folder, data, task=Predicts):
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, default_root_dir=folder,
        callbacks=BoundaryMetrics(class_names=CLASSES, surface_distances=False, report=False),
    )  # fmt: skip
    trainer.validate(task(), DataLoader(list(data), batch_size=1), verbose=False)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Return a function that returns a folder with an evaluation; each is made only once."""
    top = tmp_path_factory.mktemp("evaluations")

    def evaluated(method, images, seed):
        folder = top / f"{method}_{'_'.join(map(str, images))}_{seed}"
        if not folder.exists():
            validate(folder, samples(images, METHODS[method], seed))
        return folder

    return evaluated


@pytest.fixture
def write(evaluations, tmp_path):
    """Return a function that writes METHOD/FOLD/seedN and returns the folder of all runs."""

    def write_run(folder, method, fold, images, seed):
        shutil.copytree(evaluations(method, images, seed), folder)
        config = {
            "seed_everything": seed,
            "model": {"losses": {method: {"loss": {"class_path": f"l.{method}"}}}},
            "data": {"fold": fold, "folds": 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        epoch = {"epoch": 0, "seconds": 1.0, "val/boundary_iou": 1 - METHODS[method]}
        (folder / "epochs.jsonl").write_text(json.dumps(epoch) + "\n")

    def write(folds, seeds=(1, 2), without=(), dice_folds=None):
        for method in METHODS:
            own = dice_folds if method == "dice" and dice_folds else folds
            for fold, images in enumerate(own):
                for seed in seeds:
                    if (method, fold, seed) not in without:
                        folder = tmp_path / "runs" / method / str(fold) / f"seed{seed}"
                        write_run(folder, method, fold, images, seed)
        return tmp_path / "runs"

    return write


def counts(runs, method, seed, folds=(0, 1)):
    rows = []
    for fold in folds:
        path = runs / method / str(fold) / f"seed{seed}" / "val" / "counts_per_image.csv"
        with path.open() as file:
            rows += [row | {"name": f"{fold}/{row['name']}"} for row in csv.DictReader(file)]
    return rows


def test_scores_come_from_the_summed_counts_of_all_folds(write, tmp_path):
    runs = write([(0, 1, 2), (3, 4)])
    compared = compare([runs], resamples=100)
    assert (compared.folds, compared.images) == (2, 5)
    for result in compared.results:
        each = [scores(counts(runs, result.method.name, seed)) for seed in (1, 2)]
        for row, measure in enumerate(compared.measures):
            expected = [one[measure] for one in each]
            assert result.figures[:, row, 0] == pytest.approx(expected, abs=1e-8)
    write_comparison(compared, tmp_path / "out")
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "5 validation images of 2 folds, pooled, 2 seeds per method. Means over seeds" in text
    assert "| method | seeds | IoU |" in text
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert record["folds"] == 2
    for run in record["methods"][0]["runs"]:
        of_seed = compared.results[0].figures[run["seed"] - 1, 0, 0]
        assert run["scores"]["iou"] == pytest.approx(of_seed, abs=1e-8)


def test_wrong_pixels_by_cause_are_those_of_all_folds(write, tmp_path):
    runs = write([(0, 1, 2), (3, 4)])
    text = page(compare([runs], resamples=100))
    table = text.partition("## Wrong pixels near boundaries by cause")[2]
    shown = float(re.search(r"\| cross_entropy \| ([\d.]+)", table)[1])
    pixels = 0
    for path in (runs / "cross_entropy").rglob("boundary_errors.csv"):
        with path.open() as file:
            rows = [r for r in csv.DictReader(file) if (r["width"], r["as"]) == ("5", "truth")]
        causes = set(rows[0]) - {"width", "as", "class", "truth", "predicted"}
        pixels += sum(int(row[cause]) for row in rows for cause in causes if row[cause].isdecimal())
    assert shown == pytest.approx(pixels / 2 / 1000, abs=0.05)


def test_images_of_all_folds_are_drawn_together(write):
    """The interval equals that of a plain loop over resamples of the union of the images."""
    runs = write([(0, 1, 2), (3, 4)], seeds=(1,))
    compared = compare([runs], resamples=100)
    rows = {method: counts(runs, method, 1) for method in METHODS}
    names = list(dict.fromkeys(row["name"] for row in rows["dice"]))
    assert len(names) == 5
    drawn = []
    for chosen in np.random.default_rng([1, 0]).integers(5, size=(100, 5)):
        picked = {
            method: [row for i in chosen for row in of if row["name"] == names[i]]
            for method, of in rows.items()
        }
        drawn.append(scores(picked["dice"])["iou"] - scores(picked["cross_entropy"])["iou"])
    difference = compared.results[1].difference
    bounds = difference.low[0, 0], difference.high[0, 0]
    assert bounds == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-8)


def test_a_seed_without_all_folds_is_left_out(write):
    runs = write([(0, 1, 2), (3, 4)], without=[("dice", 1, 2)])
    compared = compare([runs], resamples=100)
    assert [len(result.figures) for result in compared.results] == [2, 1]
    assert compared.results[1].difference.trainings == 1
    assert "dice: without seed 2, whose runs lack some of the 2 folds." in compared.notes
    expected = scores(counts(runs, "dice", 1))["iou"]
    assert compared.results[1].figures[:, 0, 0] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fold_of_seed_2", [0, 1])
def test_a_method_without_a_complete_seed_is_left_out(method, fold_of_seed_2, write):
    other = "dice" if method == "cross_entropy" else "cross_entropy"
    runs = write([(0, 1, 2), (3, 4)], without=[(method, 1, 1), (method, fold_of_seed_2, 2)])
    compared = compare([runs], resamples=100)
    assert [result.method.name for result in compared.results] == [other]
    assert compared.folds == 2
    assert f"{method}: left out, as no seed has runs on all 2 folds yet." in compared.notes
    with pytest.raises(InputError, match=f"no method '{method}'; there are '{other}'"):
        compare([runs], baseline=method)


def test_a_seed_for_each_fold_is_not_pooled(write):
    missing = [(method, fold, 2 - fold) for method in METHODS for fold in (0, 1)]
    compared = compare([write([(0, 1, 2), (3, 4)], without=missing)], resamples=100)
    assert compared.folds == 1
    assert "No seed has runs on all 2 sets of images" in compared.notes[0]
    assert [len(result.figures) for result in compared.results] == [2, 2]


def test_random_splits_that_share_images_are_not_pooled(write):
    compared = compare([write([(0, 1, 2), (2, 3, 4)], seeds=(1,))], resamples=100)
    assert (compared.folds, compared.images) == (1, 5)
    assert [len(result.figures) for result in compared.results] == [2, 2]


def test_regions_of_one_image_are_images_of_their_own(write):
    """Folds that are halves of a tile have its name in common, not its pixels."""
    runs = write([(0,), (3, 4)], seeds=(1,))
    for path in runs.rglob("val/*"):
        if path.suffix in (".csv", ".json"):
            path.write_text(path.read_text().replace('"3"', '"0"').replace("\n3,", "\n0,"))
    compared = compare([runs], resamples=100)
    assert (compared.folds, compared.images) == (2, 3)


def test_folds_with_one_test_set_count_each_by_itself(write, evaluations):
    runs = write([(0, 1, 2), (3, 4)])
    for fold in runs.glob("*/*/seed*"):
        method, number, seed = fold.relative_to(runs).parts
        # Wrong pixels differ by seed, so that the folds do.
        shutil.copytree(
            evaluations(method, (0, 1, 4), f"{seed[4:]}{number}") / "val", fold / "test"
        )
    compared = compare([runs], resamples=100)
    assert (compared.split, compared.folds, compared.images) == ("test", 1, 3)
    base, dice = compared.results
    assert len(base.figures) == len(dice.figures) == dice.difference.trainings == 4
    assert compared.notes[0].endswith("they differ in fold. Each run counts by itself.")
    assert compare([runs], split="val", resamples=100).folds == 2


def test_evaluations_with_several_labels_per_pixel_are_compared(write, tmp_path):
    """Without accuracy: the counts lack its true negatives."""
    runs = write([(0, 1, 2, 3, 4)])
    for run in runs.glob("*/*/seed*"):
        shutil.rmtree(run / "val")
        wrong, seed = METHODS[run.parts[-3]], int(run.name[4:])
        data = list(samples((0, 1, 2, 3, 4), wrong, seed))
        for one in data:
            for key in ("mask", "preds"):
                one[key] = torch.stack([one[key] == k for k in range(3)]).long()
        validate(run, data, PredictsLabels)
        assert json.loads((run / "val/metrics.json").read_text())["scalars"]["accuracy"] > 0.5
    compared = compare([runs], resamples=100)
    assert compared.has_intervals
    assert compared.measures[:4] == ("iou", "f1", "boundary_iou", "boundary_f")
    assert "accuracy" not in compared.measures
    write_comparison(compared, tmp_path / "out")


def test_images_with_the_same_name_are_named(write):
    runs = write([(0, 1, 2)], seeds=(1,))
    for run in runs.glob("*/*/seed*"):
        shutil.rmtree(run / "val")
        validate(run, [one | {"name": "tile"} for one in samples((0, 1), 0.1, 1)])
    with pytest.raises(InputError, match="2 images are called tile, so their counts"):
        compare([runs])


def test_folds_of_other_images_are_refused(write):
    runs = write([(0, 1, 2), (3, 4)], seeds=(1,), dice_folds=[(0, 1, 2), (2, 3, 4)])
    with pytest.raises(InputError, match="its images differ"):
        compare([runs])


def test_few_images_are_not_resampled(write):
    compared = compare([write([(0,), (3, 4)])])
    base, dice = compared.results
    first, second = dice.figures[:, 0, 0] - base.figures[:, 0, 0]
    # Half of all draws of two seeds are of one seed twice.
    spread = widening(2) * abs(first - second) / 2
    bounds = dice.difference.low[0, 0], dice.difference.high[0, 0]
    middle = (first + second) / 2
    assert bounds == pytest.approx((middle - spread, middle + spread), abs=1e-8)
    text = page(compared)
    assert (
        "- 3 images are too few to resample, so intervals cover the seeds alone: a verdict holds "
        "for these images and may not hold for others.\n" in text
    )
    assert "The images are not resampled." in text


def test_few_images_and_one_seed_give_no_interval(write):
    compared = compare([write([(0,), (3, 4)], seeds=(1,))], resamples=100)
    assert np.isnan(compared.results[1].difference.low).all()
    text = page(compared)
    assert "3 images and a single shared seed are too few for intervals." in text
    assert "## Verdicts" not in text
    assert "helps" not in text
