import monai.losses
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    mean_of_images,
    on_each_label_map,
    random_logits,
    softmax,
)

from lightning_seg.losses import FocalLoss, cross_entropy, focal


def numpy_focal(logits, mask, gamma=2.0):
    p = softmax(logits)
    terms = []
    for b, y, x in zip(*np.nonzero(mask != VOID)):
        own = p[b, mask[b, y, x], y, x]
        terms.append(-np.log(own) * (1 - own) ** gamma)
    return np.mean(terms)


def numpy_one_against_the_rest(logits, mask, gamma=2.0):
    classes = []
    for label in range(logits.shape[1]):
        score = logits[:, label][mask != VOID]
        p = 1 / (1 + np.exp(np.where((mask == label)[mask != VOID], -score, score)))
        classes.append((-np.log(p) * (1 - p) ** gamma).mean())
    return np.mean(classes)


class TestFocalLoss(LossContract):
    huge_logits_move = True

    def make(self):
        return FocalLoss()

    def expected(self, logits, mask):
        return mean_of_images(numpy_focal, logits, mask)


class TestGentleFocalLoss(LossContract):
    """With gamma below 1 the slope is infinite where the prediction is certain."""

    def make(self):
        return FocalLoss(gamma=0.5, reduction="batch")

    def expected(self, logits, mask):
        return numpy_focal(logits, mask, gamma=0.5)


class TestFocalLossOfSegmentationModels(LossContract):
    perfect = None  # a sigmoid of 0 is undecided

    def make(self):
        return FocalLoss(preset="smp")

    def expected(self, logits, mask):
        return numpy_one_against_the_rest(logits, mask)


@pytest.mark.parametrize("gamma", [0, 1, 2])
def test_equals_the_reference(reference_case, gamma):
    reference_case.check(f"focal|gamma={gamma}", FocalLoss(gamma=gamma))
    reference_case.check_single_precision(f"focal|gamma={gamma}", FocalLoss(gamma=gamma))


@on_each_label_map
def test_equals_segmentation_models_pytorch(mask):
    logits = random_logits((2, 4, 9, 7))
    theirs = smp.losses.FocalLoss("multiclass", ignore_index=VOID)
    ours = focal(logits, mask, preset="smp")
    assert ours == focal(logits, mask, activation="sigmoid", reduction="batch")
    torch.testing.assert_close(ours, theirs(logits, mask))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_equals_monai(activation):
    """MONAI's mean over all classes divides the softmax form by K once more."""
    logits, mask = random_logits((2, 4, 9, 7), dtype=torch.float32), LABEL_MAPS["noise"]
    theirs = monai.losses.FocalLoss(to_onehot_y=True, use_softmax=activation == "softmax")
    factor = 4 if activation == "softmax" else 1
    ours = focal(logits, mask, activation=activation)
    torch.testing.assert_close(ours, factor * theirs(logits, mask.unsqueeze(1)))


@on_each_label_map
def test_gamma_zero_is_the_cross_entropy(mask):
    logits = random_logits((2, 4, 9, 7))
    ours = focal(logits, mask, gamma=0.0, reduction="batch")
    torch.testing.assert_close(ours, cross_entropy(logits, mask))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -1.0}, r"gamma is -1.0, expected a finite number of 0 or more"),
        ({"activation": "relu"}, "activation is 'relu', expected one of: 'softmax', 'sigmoid'"),
        ({"reduction": "mean"}, "reduction is 'mean'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FocalLoss(**arguments)
