import pytest
import torch
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassMatthewsCorrCoef,
    MulticlassPrecision,
    MulticlassRecall,
)

from lightning_seg.metrics.functional.region_scores import (
    accuracy,
    matthews,
    micro_matthews,
    region_scores,
)

K = 4
TORCHMETRICS = {
    "iou": MulticlassJaccardIndex,
    "f1": MulticlassF1Score,
    "precision": MulticlassPrecision,
    "recall": MulticlassRecall,
}


@pytest.fixture
def maps():
    rng = torch.Generator().manual_seed(0)
    preds, target = torch.randint(0, K, (2, 3, 9, 11), generator=rng)
    target = torch.where(torch.rand(target.shape, generator=rng) < 0.4, preds, target)
    target[:, 2] = 255
    return preds, target


@pytest.mark.parametrize("name", TORCHMETRICS)
def test_scores_equal_torchmetrics(name, maps):
    confusion = MulticlassConfusionMatrix(K, ignore_index=255)(*maps)
    expected = TORCHMETRICS[name](K, average=None, ignore_index=255)(*maps)
    torch.testing.assert_close(region_scores(confusion)[name].float(), expected)


def test_matthews_correlation_equals_torchmetrics(maps):
    confusion = MulticlassConfusionMatrix(K, ignore_index=255)(*maps)
    expected = MulticlassMatthewsCorrCoef(K, ignore_index=255)(*maps)
    torch.testing.assert_close(matthews(confusion).float(), expected)


def test_micro_correlation_is_computed_from_pooled_counts(maps):
    confusion = MulticlassConfusionMatrix(K, ignore_index=255)(*maps).double()
    tp, total = confusion.trace(), confusion.sum()
    fp = fn = total - tp
    tn = (K - 1) * total - fp
    expected = (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
    torch.testing.assert_close(micro_matthews(confusion), expected)


def test_absent_class_has_no_score():
    confusion = torch.tensor([[4, 1, 0], [0, 0, 0], [0, 0, 0]])
    scores = region_scores(confusion)
    assert scores["iou"].nan_to_num(-1).tolist() == [0.8, 0, -1]
    assert scores["precision"].nan_to_num(-1).tolist() == [1, 0, -1]
    assert scores["recall"].nan_to_num(-1).tolist() == [0.8, -1, -1]
    assert accuracy(torch.zeros(3, 3)).isnan()
    assert micro_matthews(torch.zeros(3, 3)).isnan()


def test_a_constant_prediction_has_correlation_zero_and_a_constant_ground_truth_nan():
    assert matthews(torch.tensor([[5, 0], [3, 0]])) == 0
    assert matthews(torch.tensor([[5, 3], [0, 0]])).isnan()
    assert matthews(torch.tensor([[5, 0], [0, 0]])).isnan()


def test_counts_beyond_float32_precision_are_exact():
    pixels = 3_000_000_019
    confusion = torch.tensor([[pixels, 1], [0, pixels]])
    assert accuracy(confusion).item() == 2 * pixels / (2 * pixels + 1)
    assert matthews(confusion) < 1
