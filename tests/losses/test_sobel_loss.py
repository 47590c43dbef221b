import numpy as np
import pytest
import torch
from loss_contract import VOID, LossContract, random_logits, softmax

from lightning_seg.losses import SobelLoss, sobel

INPUTS = random_logits((2, 4, 9, 7)), torch.zeros(2, 9, 7, dtype=torch.long)
ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def gradients(plane):
    """Return both Sobel responses of a zero-padded map (H, W), by window."""
    padded = np.pad(plane, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return [(windows * kernel).sum(axis=(2, 3)) for kernel in (ACROSS, ACROSS.T)]


def numpy_sobel(logits, mask, reduction="mean"):
    total = pixels = 0
    for scores, labels in zip(logits, mask, strict=True):
        valid = labels != VOID
        probabilities = softmax(scores[None])[0] * valid
        for k in range(len(scores)):
            pairs = zip(gradients(probabilities[k]), gradients(1.0 * (labels == k)), strict=True)
            total += sum(np.abs(actual - expected)[valid].sum() for actual, expected in pairs)
        pixels += valid.sum()
    maps = 2 * logits.shape[1] if reduction == "mean" else 1
    return total / pixels / maps


class TestSobelLoss(LossContract):
    def make(self):
        return SobelLoss(weight=3.0)

    def expected(self, logits, mask):
        return 3 * numpy_sobel(logits, mask)


class TestSobelLossSummedOverMaps(LossContract):
    def make(self):
        return SobelLoss(weight=3.0, reduction="pixel")

    def expected(self, logits, mask):
        return 3 * numpy_sobel(logits, mask, "pixel")


def test_an_edge_off_by_one_pixel_costs_the_filter_response_to_one_column():
    mask = torch.zeros(1, 6, 12, dtype=torch.long)
    mask[..., 6:] = 1
    shifted = torch.zeros_like(mask)
    shifted[..., 5:] = 1
    logits = 100.0 * torch.nn.functional.one_hot(shifted, 2).movedim(-1, 1)
    # The column beside the true edge is wrong in both classes. Inner rows answer with 4 on each
    # side of it, the first and the last with 3, and with 1, 2 and 1 to where the column ends.
    expected = 2 * (4 * (4 + 4) + 2 * (3 + 3 + 1 + 2 + 1)) / (6 * 12)
    actual = SobelLoss(weight=1.0, reduction="pixel")(logits, mask)
    assert actual.item() == pytest.approx(expected)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_weights_must_be_positive(weight):
    with pytest.raises(ValueError, match="expected a finite number above 0"):
        SobelLoss(weight)


@pytest.mark.parametrize("call", [lambda **k: SobelLoss(**k), lambda **k: sobel(*INPUTS, **k)])
def test_an_unknown_reduction_is_refused(call):
    with pytest.raises(ValueError, match="reduction is 'sum', expected one of: 'pixel', 'mean'"):
        call(reduction="sum")


def test_a_loss_pickled_without_a_reduction_keeps_its_value():
    loss = SobelLoss(weight=1.0, reduction="pixel")
    old = SobelLoss(weight=1.0)
    del old.__dict__["reduction"]
    assert old(*INPUTS) == loss(*INPUTS)


@pytest.mark.parametrize("reduction", ["pixel", "mean"])
def test_equals_the_reference(reference_case, reduction):
    loss = SobelLoss(weight=1.0, reduction=reduction)
    reference_case.check(f"sobel|lambda=1,reduction={reduction}", loss)
