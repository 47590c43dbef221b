"""Metrics of several labels per pixel: each label for itself, against the rest."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from test_metrics_everywhere import VOID, blobs, same
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassJaccardIndex, MultilabelJaccardIndex
from torchmetrics.wrappers import ClasswiseWrapper

from lightning_seg.metrics import (
    BoundaryErrors,
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    MultiLabelMetric,
    PerSampleMean,
    SurfaceDistance,
    TrimapIoU,
)

K = 3
COMMON = {"num_classes": 2, "ignore_index": VOID}
METRICS = {
    "boundary_iou": BoundaryIoU(**COMMON, width=2, average=None),
    "trimap_iou": TrimapIoU(**COMMON, average=None),
    "trimap_iou_both": TrimapIoU(**COMMON, region="both", average=None),
    "boundary_f": BoundaryFMeasure(**COMMON, tolerance=1, average=None, score="all"),
    "surface_dice": BoundaryFMeasure(**COMMON, tolerance=1, average=None, score="surface_dice"),
    "e_measure": EMeasure(**COMMON, average=None),
    "surface_distance": SurfaceDistance(**COMMON, measure="both", average=None),
    "torchmetrics": MulticlassJaccardIndex(**COMMON, average=None),
}
each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


def overlapping(count, seed=0):
    """Return predicted and true labels (B, K, H, W) that overlap, with void in one of them."""
    preds, target = (
        torch.stack([torch.where(x == VOID, VOID, (x <= k).long()) for k in range(K)], dim=1)
        for x in blobs(count, seed)
    )
    return preds, torch.where(torch.arange(K)[:, None, None] == 1, target, target.clamp(max=1))


@each_metric
def test_each_label_has_the_value_of_its_binary_task(metric):
    preds, target = overlapping(3)
    assert (target.clamp(max=1).sum(1) > 1).any()
    labels = MultiLabelMetric(metric, K)
    labels.update(preds[:1], target[:1])
    labels.update(preds[1:], target[1:])
    for k in range(K):
        alone = metric.clone()
        alone.update(preds[:, k], target[:, k])
        assert same(labels.compute()[..., k], alone.compute()[..., 1])
    assert metric._update_count == 0


@each_metric
def test_macro_is_the_mean_over_labels_that_have_a_value(metric):
    macro = metric.clone()
    macro.average = "macro"
    preds, target = overlapping(2)
    preds[:, 2], target[:, 2] = 0, 0
    mean = MultiLabelMetric(macro, K)(preds, target)
    assert same(mean, MultiLabelMetric(metric, K)(preds, target).nanmean(-1))


@each_metric
def test_probabilities_logits_and_labels_give_the_same(metric):
    preds, target = overlapping(2)
    expected = MultiLabelMetric(metric, K)(preds, target)
    for scores in (0.6 * preds, 9.0 * preds - 4, (9.0 * preds - 4).bfloat16(), preds.bool()):
        assert same(MultiLabelMetric(metric, K)(scores, target), expected)
    unlikely = MultiLabelMetric(metric, K, threshold=0.7)(0.6 * preds, target)
    assert same(unlikely, MultiLabelMetric(metric, K)(torch.zeros_like(preds), target))


def test_forward_returns_the_batch_value_and_reset_clears():
    labels = MultiLabelMetric(BoundaryIoU(**COMMON), K)
    first = labels(*overlapping(2))
    labels(*overlapping(2, seed=1))
    assert labels.compute() != first
    labels.reset()
    assert labels(*overlapping(2)) == first == labels.compute()


def test_counts_are_int64_and_by_label():
    labels = MultiLabelMetric(TrimapIoU(**COMMON), K)
    preds, target = overlapping(2)
    labels.update(preds, target)
    alone = TrimapIoU(**COMMON)
    alone.update(preds[:, 2], target[:, 2])
    counts = labels.double().counts("intersection")
    assert counts.dtype == torch.int64
    assert torch.equal(counts[..., 2], alone.intersection[..., 1])


def test_region_scores_equal_those_of_torchmetrics():
    preds, target = overlapping(3)
    theirs = MultilabelJaccardIndex(K, average=None, ignore_index=VOID)(preds, target)
    torch.testing.assert_close(MultiLabelMetric(METRICS["torchmetrics"], K)(preds, target), theirs)


def test_plot_draws_the_value_of_each_label():
    labels = MultiLabelMetric(METRICS["boundary_iou"], K)
    labels.update(*overlapping(2))
    _, axes = labels.plot()
    drawn = [float(y) for line in axes.get_lines() for y in line.get_ydata()]
    assert drawn == pytest.approx(labels.compute().tolist())


class Logs(LightningModule):
    """Logs metrics of its batches, which are predictions and truth, as Lightning documents it."""

    def __init__(self):
        super().__init__()
        self.mean = MultiLabelMetric(BoundaryIoU(**COMMON, width=2), K)
        named = ClasswiseWrapper(MultiLabelMetric(METRICS["boundary_iou"], K), ["a", "b", "c"])
        self.collection = MetricCollection({"iou": named})

    def validation_step(self, batch, batch_idx):
        self.mean(*batch)
        self.collection.update(*batch)
        self.log("mean", self.mean, on_epoch=True)

    def on_validation_epoch_end(self):
        self.log_dict(self.collection.compute())
        self.collection.reset()


def test_lightning_logs_the_object_and_each_label_by_name(tmp_path):
    preds, target = overlapping(3)
    loader = DataLoader(list(zip(preds, target)), batch_size=2)
    trainer = Trainer(
        logger=False, enable_progress_bar=False, accelerator="cpu", default_root_dir=str(tmp_path)
    )
    [logged] = trainer.validate(Logs(), loader, verbose=False)
    expected = MultiLabelMetric(METRICS["boundary_iou"], K)(preds, target)
    assert logged.pop("mean") == pytest.approx(expected.nanmean().item(), abs=1e-6)
    assert list(logged.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert [name.rsplit("_", 1)[1] for name in logged] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("metric", "num_labels", "message"),
    [
        (BoundaryIoU(3), K, "num_classes=2"),
        (BoundaryErrors(2), K, "average='macro' or None"),
        (PerSampleMean(), K, "num_classes=2"),
        (BoundaryIoU(2), 0, "at least 1 label"),
    ],
)
def test_metrics_without_values_by_class_are_refused(metric, num_labels, message):
    with pytest.raises(ValueError, match=message):
        MultiLabelMetric(metric, num_labels)


@pytest.mark.parametrize(
    ("preds", "target", "message"),
    [
        (torch.zeros(1, 4, 4).long(), torch.zeros(1, 4, 4).long(), r"\(B, 3, H, W\) twice"),
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4).long(), r"\(B, 3, H, W\) twice"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4).long(), r"\(B, 3, H, W\) twice"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), "expected integer labels"),
        (torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 2), "target contains the label 2"),
    ],
)
def test_other_shapes_and_labels_are_refused(preds, target, message):
    with pytest.raises(ValueError, match=message):
        MultiLabelMetric(BoundaryIoU(2), K).update(preds, target)


def test_counts_of_the_given_metric_are_not_counted_again():
    metric = BoundaryIoU(2, width=1)
    wrong = torch.randint(2, (1, 8, 8))
    metric.update(wrong, 1 - wrong)
    labels = torch.randint(2, (1, 3, 8, 8))
    several = MultiLabelMetric(metric, 3)
    several.update(labels, labels)
    assert several.compute() == 1
