"""Merged and pooled classes, with values computed by hand."""

import csv
import json

import pytest
import torch
from foreign_modules import Base, ReturnsDict, ReturnsLoss, Scenes, loader, trainer
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.errors import InputError
from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, EMeasure, SurfaceDistance

pytestmark = pytest.mark.filterwarnings("ignore")

FACE = ["skin", "left brow", "right brow", "nose"]
TRUTH = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 2, 2, 0],
        [0, 0, 3, 3, 0, 0],
        [0, 0, 3, 3, 0, 255],
    ]
)
PREDICTED = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 2, 2, 0, 0],  # one brow for the other; one brow missed
        [0, 0, 3, 2, 0, 0],  # nose taken for a brow
        [0, 0, 3, 3, 3, 1],  # skin taken for nose; void does not count
    ]
)
GROUPS = {
    "merged_classes": {"brows": ["left brow", "right brow"]},
    "pooled_classes": {"overall": ["brows", "nose"]},
}


class Face(Base):
    num_classes = 4

    def validation_step(self, batch, batch_idx):
        return {"preds": batch[0], "mask": batch[1]}


@pytest.fixture
def record(tmp_path):
    callback = BoundaryMetrics(class_names=FACE, **GROUPS)
    data = DataLoader([(PREDICTED, TRUTH)])
    trainer(tmp_path, callback).validate(Face(), data, verbose=False)
    return json.loads((tmp_path / "val" / "metrics.json").read_text()) | {"folder": tmp_path}


def test_merged_classes_are_counted_as_one(record):
    # 4 true pixels, 4 predicted, 3 of them right.
    brows = record["merged"]["brows"]
    assert (brows["iou"], brows["f1"]) == (3 / 5, 6 / 8)
    assert (brows["precision"], brows["recall"]) == (3 / 4, 3 / 4)
    # Each brow by itself: the right one has 2 true pixels, 3 predicted, 1 right.
    assert record["per_class"]["right brow"]["f1"] == 2 / 5


def test_pooled_classes_add_up_the_counts_of_their_parts(record):
    # Brows 3 right of 4 and 4, nose 3 right of 4 true and 4 predicted; one nose pixel is a brow.
    overall = record["merged"]["overall"]
    assert (overall["iou"], overall["f1"]) == (6 / 10, 12 / 16)
    assert overall["boundary_iou"] is None


def test_boundaries_of_merged_classes_are_those_of_the_merged_maps(tmp_path):
    callback = BoundaryMetrics(
        class_names=["ground", "house", "car"], merged_classes={"things": ["house", "car"]}
    )
    data = loader(as_dict=True, names=True)
    trainer(tmp_path, callback).test(ReturnsDict(), data, verbose=False)
    actual = json.loads((tmp_path / "test" / "metrics.json").read_text())["merged"]["things"]
    scores, masks = zip(*Scenes(5))
    pred, masks = torch.stack(scores).argmax(1), torch.stack(masks)
    maps = ((pred > 0).long(), torch.where(masks == 255, 255, (masks > 0).long()))
    common = {"num_classes": 2, "ignore_index": 255, "average": None}
    for name, metric in {
        "boundary_iou": BoundaryIoU(**common),
        "boundary_f": BoundaryFMeasure(**common, void="removed"),
        "boundary_recall": BoundaryFMeasure(**common, void="removed", score="recall"),
        "e_measure": EMeasure(**common),
        "surface_distance": SurfaceDistance(**common),
    }.items():
        assert actual[name] == metric(*maps)[1].item()
    assert actual["trimap_iou/3"] is None


def test_merged_classes_are_listed_below_the_classes_and_enter_no_mean(record, capsys):
    means = [record["per_class"][name]["iou"] for name in FACE]
    assert record["scalars"]["iou"] == pytest.approx(sum(means) / 4)
    folder = record["folder"] / "val"
    with (folder / "per_class.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == [*FACE, "brows", "overall"]
    with (folder / "counts_per_image.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    keys = ("intersection", "truth", "predicted")
    assert [rows["brows"][key] for key in keys] == ["3", "4", "4"]
    assert [rows["overall"][key] for key in keys] == ["6", "8", "8"]
    assert rows["brows"]["boundary_union"] == "5"  # so narrow that it is all boundary
    assert rows["overall"]["boundary_union"] == rows["brows"]["trimap_union/1"] == ""
    assert record["settings"]["merged_classes"] == GROUPS["merged_classes"]


def test_merged_classes_are_printed_and_not_logged(tmp_path, capsys):
    callback = BoundaryMetrics(
        class_names=["ground", "house", "car"], merged_classes={"things": ["house", "car"]}
    )
    t = trainer(tmp_path, callback)
    t.validate(ReturnsLoss(), loader(), verbose=False)
    assert not any("things" in name for name in t.callback_metrics)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "things" in line]) == 2  # regions, boundaries


def test_fit_records_merged_classes_every_epoch(tmp_path):
    callback = BoundaryMetrics(
        class_names=["ground", "house", "car"], merged_classes={"things": ["house", "car"]}
    )
    trainer(tmp_path, callback).fit(ReturnsLoss(), loader(), loader())
    with (tmp_path / "epochs_per_class.csv").open() as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert 0.3 < float(rows["things"]["f1"]) < 1
    assert rows["things"]["boundary_iou"] == ""


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"merged_classes": {"a": ["house", "hose"]}}, "'a' holds 'hose', which is not a class"),
        ({"merged_classes": {"car": ["house"]}}, "'car' is already the name of a class"),
        ({"merged_classes": {"a": []}}, r"'a' holds \[\], expected a list"),
        ({"merged_classes": {"a": "house"}}, "'a' holds 'house', expected a list"),
        (
            {"merged_classes": {"a": ["house", "car"]}, "pooled_classes": {"b": ["a", "car"]}},
            "members of 'b' overlap",
        ),
    ],
)
def test_invalid_groups_are_refused(groups, message, tmp_path):
    callback = BoundaryMetrics(class_names=["ground", "house", "car"], **groups)
    with pytest.raises(InputError, match=message):
        trainer(tmp_path, callback).validate(ReturnsLoss(), loader(), verbose=False)
