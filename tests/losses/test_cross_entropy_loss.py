import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_contract import LABEL_MAPS, VOID, LossContract, mean_of_images, random_logits

from lightning_seg.losses import CrossEntropyLoss, cross_entropy

WEIGHTS = [0.5, 2.0, 0.0, 7.0]


def numpy_cross_entropy(logits, mask, weights=(1, 1, 1, 1), smoothing=0.0):
    """Cross entropy from its definition, by pixel, in float64."""
    weights = np.array(weights)
    total = mass = 0.0
    for b, y, x in zip(*np.nonzero(mask != VOID)):
        scores = logits[b, :, y, x]
        top = scores.max()
        log_p = scores - top - np.log(np.exp(scores - top).sum())
        label = np.eye(len(scores))[mask[b, y, x]]
        label = (1 - smoothing) * label + smoothing / len(scores)
        total -= (label * weights * log_p).sum()
        mass += weights[mask[b, y, x]]
    return total / mass if mass else 0.0


class TestCrossEntropyLoss(LossContract):
    huge_logits_move = True

    def make(self):
        return CrossEntropyLoss()

    def expected(self, logits, mask):
        return numpy_cross_entropy(logits, mask)


class TestWeightedAndSmoothedCrossEntropyLoss(LossContract):
    classes_permute = False
    perfect = None

    def make(self):
        return CrossEntropyLoss(class_weights=WEIGHTS, label_smoothing=0.1)

    def expected(self, logits, mask):
        return numpy_cross_entropy(logits, mask, WEIGHTS, 0.1)


class TestCrossEntropyLossOfEachImage(LossContract):
    huge_logits_move = True

    def make(self):
        return CrossEntropyLoss(reduction="image")

    def expected(self, logits, mask):
        return mean_of_images(numpy_cross_entropy, logits, mask)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_equals_torch(weights, smoothing):
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    theirs = F.cross_entropy(
        logits,
        mask,
        weight=None if weights is None else torch.tensor(weights, dtype=torch.float64),
        label_smoothing=smoothing,
        ignore_index=VOID,
    )
    loss = CrossEntropyLoss(class_weights=weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, mask), theirs)


def test_equals_the_reference(reference_case):
    reference_case.check("ce", CrossEntropyLoss())
    reference_case.check("nll|class_weights=none", CrossEntropyLoss(reduction="image"))
    weights = torch.tensor(reference_case.median_frequency_weights, dtype=torch.float64)
    reference_case.check(
        "nll|class_weights=median_frequency", lambda *x: cross_entropy(*x, class_weights=weights)
    )
    reference_case.check_single_precision("ce", CrossEntropyLoss())


def test_weights_on_absent_classes_only_give_zero_and_a_zero_gradient():
    logits = random_logits((2, 4, 9, 7)).requires_grad_()
    loss = CrossEntropyLoss(class_weights=[0.0, 0.0, 0.0, 1.0])(logits, LABEL_MAPS["void"])
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_logits_of_another_size_than_the_labels_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4, 5, 7\).*\(2, 9, 7\).*upsample the logits"):
        cross_entropy(random_logits((2, 4, 5, 7)), LABEL_MAPS["void"])


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match=r"1 class.*background and foreground"):
        cross_entropy(random_logits((2, 1, 9, 7)), LABEL_MAPS["void"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_smoothing": 1.5}, r"label_smoothing is 1.5.*\[0, 1\]"),
        ({"reduction": "mean"}, "reduction is 'mean', expected one of: 'image', 'batch'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss(**arguments)
