"""Scores of the ISPRS tables, computed by hand for two tiles."""

import csv
import json

import pytest
import torch
from foreign_modules import trainer
from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics

pytestmark = pytest.mark.filterwarnings("ignore")

# Building, tree, clutter; 255 is where the true boundaries were eroded.
B, T, C, X = 0, 1, 2, 255
TILES = {
    "north": (
        [[B, B, B, X, T], [B, B, B, X, T]],
        [[B, B, T, T, T], [B, B, B, B, C]],
    ),
    "south": (
        [[C, C, T, T, X], [C, B, B, X, X]],
        [[C, B, T, T, T], [C, B, C, B, B]],
    ),
}
CONFUSION = {
    "north": [[5, 1, 0], [0, 1, 1]],
    "south": [[1, 0, 1], [0, 2, 0], [1, 0, 2]],
}


class Predicts(LightningModule):
    num_classes = 3
    class_names = ("building", "tree", "clutter")

    def test_step(self, batch, batch_idx):
        return {"preds": batch["guess"], "mask": batch["mask"], "name": batch["name"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("isprs")
    samples = [
        {"name": name, "mask": torch.tensor(truth), "guess": torch.tensor(guess)}
        for name, (truth, guess) in TILES.items()
    ]
    callback = BoundaryMetrics(excluded_from_mean=["clutter"])
    trainer(path, callback).test(Predicts(), DataLoader(samples), verbose=False)
    return path / "test"


@pytest.fixture(scope="module")
def scalars(folder):
    return json.loads((folder / "metrics.json").read_text())["scalars"]


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_accuracy_counts_clutter_but_not_eroded_pixels(scalars):
    assert scalars["accuracy"] == pytest.approx(11 / 15, abs=1e-12)


def test_mean_f1_excludes_clutter(scalars, folder):
    by_class = {row["class"]: float(row["f1"]) for row in table(folder / "per_class.csv")}
    assert by_class == pytest.approx({"building": 12 / 15, "tree": 6 / 8, "clutter": 4 / 7})
    assert scalars["f1"] == pytest.approx((12 / 15 + 6 / 8) / 2, abs=1e-12)


def test_micro_mcc_equals_the_formula_of_resunet_a(scalars):
    tp, fp, fn, tn = 11, 4, 4, 26
    expected = (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    assert scalars["mcc_micro"] == pytest.approx(expected, abs=1e-12)


def test_confusion_matrices_are_written_per_tile_and_in_total(folder):
    names = ("building", "tree", "clutter")
    summed = [[int(row[n]) for n in names] for row in table(folder / "confusion.csv")]
    assert summed == [[6, 1, 1], [0, 3, 1], [1, 0, 2]]
    each = table(folder / "confusion_per_image.csv")
    for name, expected in CONFUSION.items():
        rows = [[int(row[n]) for n in names] for row in each if row["name"] == name]
        assert rows == expected


def test_each_tile_has_its_own_scores(folder):
    north, south = table(folder / "per_image.csv")
    assert (north["name"], south["name"]) == ("north", "south")
    assert float(north["accuracy"]) == pytest.approx(6 / 8)
    assert float(north["f1"]) == pytest.approx((10 / 11 + 2 / 4) / 2)
    assert float(south["accuracy"]) == pytest.approx(5 / 7)
