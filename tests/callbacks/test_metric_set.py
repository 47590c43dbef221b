import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from lightning_seg.callbacks.metrics.confusion_matrix import ConfusionMatrix
from lightning_seg.callbacks.metrics.metric_set import MetricSet, MetricSettings

CPU = torch.device("cpu")


def make_labels(num_classes, ignore_index):
    random = np.random.default_rng(0)
    pred, truth = (random.integers(0, num_classes, (3, 6, 8)).repeat(4, 1) for _ in range(2))
    if ignore_index is not None:
        truth[:, :3, :4] = ignore_index
    return torch.from_numpy(pred), torch.from_numpy(truth)


@pytest.mark.parametrize(
    ("num_classes", "ignore_index"), [(5, None), (5, 255), (5, 2), (5, 0), (254, 255)]
)
def test_bytes_give_the_confusion_matrix_of_torchmetrics(num_classes, ignore_index):
    maps = make_labels(num_classes, ignore_index)
    ours, theirs = (
        kind(num_classes, ignore_index=ignore_index, validate_args=False)
        for kind in (ConfusionMatrix, MulticlassConfusionMatrix)
    )
    ours.update(*(labels.to(torch.uint8) for labels in maps))
    theirs.update(*maps)
    assert torch.equal(ours.compute(), theirs.compute())


@pytest.mark.parametrize("ignore_index", [None, 255, -1, 1, 300])
def test_images_of_a_batch_score_as_images_one_by_one(ignore_index):
    pred, truth = make_labels(4, ignore_index)
    additional = {"jaccard": MulticlassJaccardIndex(4, ignore_index=ignore_index, average=None)}
    settings = MetricSettings(4, ignore_index)
    whole, single = (MetricSet(settings, CPU, additional=additional) for _ in range(2))
    whole.add(pred, truth)
    for number in range(len(pred)):
        single.update(pred[number], truth[number], str(number), number)
    results = [metrics.compute() for metrics in (whole, single)]
    for rows in (results[0].scalars, results[0].per_class):
        others = results[1].scalars if rows is results[0].scalars else results[1].per_class
        assert rows.keys() == others.keys()
        for name, values in rows.items():
            torch.testing.assert_close(values, others[name], rtol=0, atol=0, equal_nan=True)


def test_additional_metrics_get_one_image_at_a_time():
    class Shapes(MulticlassJaccardIndex):
        def update(self, preds, target):
            shapes.append((tuple(preds.shape), preds.dtype))
            super().update(preds, target)

    shapes: list = []
    metrics = MetricSet(MetricSettings(4), CPU, additional={"shapes": Shapes(4, ignore_index=255)})
    metrics.add(*make_labels(4, 255))
    assert shapes == [((1, 24, 8), torch.int64)] * 3
