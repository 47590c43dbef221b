"""Behaviour of torchmetrics' IoU, F1 and accuracy that this package relies on or corrects."""

import pytest
import torch
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

VOID = 255
K = 4  # class 3 is in no map, class 2 in the prediction alone
PREDS = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1]], [[0, 0, 0, 1], [1, 1, 1, 1]]])
TARGET = torch.tensor([[[0, 0, 1, VOID], [0, 1, 1, VOID]], [[0, 0, 1, 1], [1, 1, 1, VOID]]])
ORDINARY = [MulticlassJaccardIndex, MulticlassF1Score, MulticlassAccuracy]


def expected(kind):
    valid = TARGET != VOID
    values = []
    for k in range(K):
        p, t = (k == PREDS) & valid, (k == TARGET) & valid
        both = (p & t).sum().item()
        whole = {
            MulticlassJaccardIndex: (p | t).sum().item(),
            MulticlassF1Score: (p.sum() + t.sum()).item() / 2,
            MulticlassAccuracy: t.sum().item(),
        }[kind]
        values.append(both / whole if whole else 0.0)
    return values


@pytest.mark.parametrize("kind", ORDINARY)
def test_values_cover_the_whole_dataset_without_void(kind):
    metric = kind(K, average=None, ignore_index=VOID)
    for i in range(2):
        metric.update(PREDS[i : i + 1], TARGET[i : i + 1])
    assert metric.compute().tolist() == pytest.approx(expected(kind))


@pytest.mark.parametrize("kind", ORDINARY)
def test_macro_leaves_out_absent_classes(kind):
    metric = kind(K, average="macro", ignore_index=VOID)
    assert metric(PREDS, TARGET).item() == pytest.approx(sum(expected(kind)[:3]) / 3)


@pytest.mark.parametrize("kind", ORDINARY)
def test_order_and_batching_do_not_change_the_value(kind):
    whole, parts = (kind(K, average=None, ignore_index=VOID) for _ in range(2))
    whole.update(PREDS, TARGET)
    for i in (1, 0):
        parts.update(PREDS[i : i + 1], TARGET[i : i + 1])
    assert torch.equal(whole.compute(), parts.compute())


@pytest.mark.parametrize("kind", ORDINARY)
def test_without_average_an_absent_class_is_zero_not_nan(kind):
    """Tables per class must therefore check the counts for absent classes."""
    metric = kind(K, average=None, ignore_index=VOID)
    assert metric(PREDS, TARGET)[3] == 0


def test_jaccard_can_return_nan_for_an_absent_class():
    metric = MulticlassJaccardIndex(K, average=None, ignore_index=VOID, zero_division=torch.nan)
    values = metric(PREDS, TARGET)
    assert values[3].isnan()
    assert values[:3].tolist() == pytest.approx(expected(MulticlassJaccardIndex)[:3])
