"""Scores of a dataset follow exactly from the counts per image and class."""

import csv
import json

import numpy as np
import pytest
import torch
from foreign_modules import K, ReturnsDict, ReturnsLoss, Scenes, loader, trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_seg.callbacks import BoundaryMetrics, ExactResume
from lightning_seg.metrics.functional import boundary_f_counts, boundary_iou_counts

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = ["ground", "house", "car"]


@pytest.fixture
def tested(tmp_path):
    callback = BoundaryMetrics(class_names=NAMES)
    data = loader(as_dict=True, names=True)
    trainer(tmp_path, callback).test(ReturnsDict(), data, verbose=False)
    return tmp_path / "test"


def read(folder):
    with (folder / "counts_per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((folder / "metrics.json").read_text())


def column(rows, key, name):
    return np.array([int(row[key]) for row in rows if row["class"] == name])


@pytest.mark.parametrize("k", range(K))
def test_scores_of_a_class_follow_from_its_counts(k, tested):
    rows, record = read(tested)

    def counts(key):
        return column(rows, key, NAMES[k])

    actual = record["per_class"][NAMES[k]]
    right, truth, predicted = (counts(c).sum() for c in ("intersection", "truth", "predicted"))
    assert actual["iou"] == right / (truth + predicted - right)
    assert actual["f1"] == 2 * right / (truth + predicted)
    bands = counts("boundary_intersection").sum() / counts("boundary_union").sum()
    assert actual["boundary_iou"] == bands
    for width in (1, 2, 3, 5, 10):
        inside, union = (
            counts(f"trimap_{part}/{width}").sum() for part in ("intersection", "union")
        )
        assert actual[f"trimap_iou/{width}"] == inside / union
        rest = (right - inside) / (truth + predicted - right - union)
        assert actual[f"interior_iou/{width}"] == rest
    precision = counts("contour_predicted_matched") / counts("contour_predicted")
    recall = counts("contour_truth_matched") / counts("contour_truth")
    by_image = 2 * precision * recall / (precision + recall)
    assert actual["boundary_f"] == pytest.approx(by_image.mean(), abs=1e-12)
    assert actual["boundary_precision"] == pytest.approx(precision.mean(), abs=1e-12)


def test_per_image_counts_equal_those_of_the_metrics(tested):
    rows, _ = read(tested)
    scores, mask = Scenes(5)[3]
    maps = (scores[None].argmax(1), mask[None])
    contours = boundary_f_counts(*maps, K, ignore_index=255, void="removed")
    bands = boundary_iou_counts(*maps, K, ignore_index=255)
    for k, name in enumerate(NAMES):
        [row] = [r for r in rows if r["name"] == "scene/3" and r["class"] == name]
        assert int(row["truth"]) == (mask == k).sum()
        assert [int(row[f"boundary_{part}"]) for part in ("intersection", "union")] == [
            part[k] for part in bands
        ]
        keys = ("predicted", "predicted_matched", "truth", "truth_matched")
        assert [int(row[f"contour_{key}"]) for key in keys] == [part[0, k] for part in contours]


def test_classes_absent_from_both_maps_have_no_row(tmp_path):
    class OneClassMore(ReturnsLoss):
        num_classes = K + 1

        def forward(self, x):
            return torch.cat([super().forward(x), torch.full_like(x[:, :1], -9.0)], dim=1)

    trainer(tmp_path, BoundaryMetrics()).validate(OneClassMore(), loader(), verbose=False)
    rows, _ = read(tmp_path / "val")
    assert {row["class"] for row in rows} == {"class 0", "class 1", "class 2"}
    assert len(rows) == 5 * K


def test_the_ground_truth_hash_depends_only_on_names_and_ground_truth(tmp_path):
    class Worse(ReturnsDict):
        def forward(self, x):
            return super().forward(x).roll(3, dims=-1)

        def test_step(self, batch, batch_idx):
            return super().test_step(batch | {"image": batch["image"].flip(-1)}, batch_idx)

    def truth(folder, module, **kwargs):
        data = loader(as_dict=True, names=True, **kwargs)
        trainer(tmp_path / folder, BoundaryMetrics()).test(module, data, verbose=False)
        return read(tmp_path / folder / "test")[1]

    first = truth("a", ReturnsDict())
    assert first["images"] == [f"scene/{i}" for i in range(5)]
    worse = truth("b", Worse(), batch_size=5)
    assert worse["truth"] == first["truth"]
    assert worse["scalars"] != first["scalars"]
    assert truth("c", ReturnsDict(), seed=1)["truth"] != first["truth"]


def test_every_validated_epoch_has_a_row_for_each_class(tmp_path):
    def fit(epochs, ckpt_path=None):
        t = trainer(tmp_path, BoundaryMetrics(class_names=NAMES), max_epochs=epochs)
        t.fit(ReturnsLoss(), loader(), loader(), ckpt_path=ckpt_path)
        t.save_checkpoint(tmp_path / "last.ckpt")

    def rows():
        with (tmp_path / "epochs_per_class.csv").open() as file:
            return list(csv.DictReader(file))

    fit(2)
    assert [(row["epoch"], row["class"]) for row in rows()] == [
        (epoch, name) for epoch in "01" for name in NAMES
    ]
    trainer(tmp_path, BoundaryMetrics(class_names=NAMES)).validate(
        ReturnsLoss(), loader(), verbose=False
    )
    record = json.loads((tmp_path / "val" / "metrics.json").read_text())
    for row in rows():
        for measure in ("iou", "f1", "boundary_iou", "boundary_f", "trimap_iou/3"):
            expected = record["per_class"][row["class"]][measure]
            assert float(row[measure]) == pytest.approx(expected, abs=1e-6)


def test_repeated_epochs_replace_their_records(tmp_path):
    t = trainer(tmp_path, BoundaryMetrics(), max_epochs=1)
    t.fit(ReturnsLoss(), loader(), loader())
    t.save_checkpoint(tmp_path / "last.ckpt")
    for _ in range(2):
        t = trainer(tmp_path, BoundaryMetrics(), max_epochs=3)
        t.fit(ReturnsLoss(), loader(), loader(), ckpt_path=tmp_path / "last.ckpt")
    with (tmp_path / "epochs_per_class.csv").open() as file:
        epochs = [row["epoch"] for row in csv.DictReader(file)]
    assert epochs == [e for e in "012" for _ in range(K)]


def test_a_resumed_fit_keeps_the_rows_of_two_metrics_in_one_folder(tmp_path):
    def fit(epochs, ckpt_path=None):
        both = BoundaryMetrics(), BoundaryMetrics(prefix="{stage}/again_")
        t = trainer(tmp_path, *both, max_epochs=epochs)
        t.fit(ReturnsLoss(), loader(), loader(), ckpt_path=ckpt_path)
        return t

    fit(2).save_checkpoint(tmp_path / "last.ckpt")
    fit(3, tmp_path / "last.ckpt")
    with (tmp_path / "epochs_per_class.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [
            e for e in "012" for _ in range(2 * K)
        ]


def test_a_resumed_fit_repeats_no_row_and_loses_none(tmp_path):
    def fit(*callbacks, ckpt_path=None):
        t = trainer(
            tmp_path, BoundaryMetrics(), ExactResume(), *callbacks, max_epochs=2,
            limit_train_batches=2, val_check_interval=1, enable_checkpointing=bool(callbacks),
        )  # fmt: skip
        t.fit(ReturnsLoss(), loader(), loader(), ckpt_path=ckpt_path)
        return (tmp_path / "epochs_per_class.csv").read_text()

    each = ModelCheckpoint(
        tmp_path,
        "{step}",
        save_top_k=-1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    whole = fit(each)
    checkpoints = sorted(tmp_path.glob("*.ckpt"))
    assert len(whole.splitlines()) == 1 + K * len(checkpoints) > 1 + 2 * K
    for path in checkpoints:
        assert fit(ckpt_path=path) == whole
    assert fit() == whole
