"""The boundary loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_contract import LABEL_MAPS, VOID, LossContract, random_logits, softmax
from scipy.ndimage import distance_transform_edt

from lightning_seg.losses import BoundaryLoss, boundary_loss
from lightning_seg.targets import BoundaryDistance


def by_the_formula(logits, mask, classes=None, void="background"):
    terms = []
    for p, labels in zip(softmax(logits), mask):
        for c in range(logits.shape[1]) if classes is None else classes:
            inside = labels == c
            outside = ~inside if void == "background" else ~inside & (labels != VOID)
            level = np.zeros(labels.shape)
            if inside.any() and outside.any():
                level += distance_transform_edt(~inside) * ~inside
                level -= (distance_transform_edt(~outside) - 1) * inside
            terms.extend((p[c] * level)[labels != VOID])
    return np.mean(terms) if terms else 0.0


class TestBoundaryLoss(LossContract):
    rtol = 1e-7  # distances are float32
    perfect = None

    def options(self):
        return {}

    def make(self):
        return BoundaryLoss(**self.options())

    def ignore(self, loss, label):
        loss.target = replace(loss.target, ignore_index=label)

    def expected(self, logits, mask):
        return by_the_formula(logits, mask, **self.options())


class TestVoidIgnored(TestBoundaryLoss):
    def options(self):
        return {"void": "ignore"}


class TestForeground(TestBoundaryLoss):
    classes_permute = False

    def options(self):
        return {"classes": [1, 2, 3]}


def test_equals_a_value_computed_by_hand():
    # Levels of class 1 in pixels: 2 1 0 -1 -2; of class 0 the mirrored 0 0 1 2 3 less 1 inside.
    logits = torch.tensor([[[[0.0] * 5], [[0.0] * 5]]])
    mask = torch.tensor([[[0, 0, 1, 1, 1]]])
    assert boundary_loss(logits, mask, classes=[1]).item() == pytest.approx(0.5 * 0 / 5)
    assert boundary_loss(logits, mask).item() == pytest.approx(0.5 * (0 - 1 + 1 + 2 + 3) / 10)


def test_a_perfect_prediction_has_the_lowest_and_a_negative_value():
    mask = LABEL_MAPS["blocks"]
    right = 100.0 * torch.nn.functional.one_hot(mask, 4).movedim(-1, 1)
    least = boundary_loss(right, mask)
    assert least < 0
    for seed in range(5):
        assert boundary_loss(random_logits((2, 4, 9, 7), seed).float(), mask) > least


def test_cost_grows_with_the_distance_of_the_wrong_pixel():
    mask = torch.tensor([[[1, 1, 0, 0, 0, 0]]])
    costs = []
    for x in range(2, 6):
        logits = 50.0 * torch.nn.functional.one_hot(mask, 2).movedim(-1, 1)
        logits[:, 1, :, x] = 100.0
        costs.append(boundary_loss(logits, mask).item())
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


def test_a_given_distance_map_gives_the_same():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    loss = BoundaryLoss(void="ignore")
    assert loss(logits, mask, loss.target(mask, 4)) == loss(logits, mask)


def test_a_given_distance_map_is_used():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    assert BoundaryLoss()(logits, mask, torch.zeros(2, 4, 9, 7)) == 0


def test_the_target_has_the_parameters_of_the_loss():
    assert BoundaryLoss(void="ignore", ignore_index=7).target == BoundaryDistance("ignore", 7)


@pytest.mark.parametrize(("key", "classes"), [("all", None), ("[1]", [1])])
def test_equals_the_reference(reference_case, key, classes):
    reference_case.check(f"kervadec|classes={key}", BoundaryLoss(classes), rel=1e-7)
    reference_case.check_single_precision(f"kervadec|classes={key}", BoundaryLoss(classes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"void": "drop"}, "void is 'drop', expected one of: 'ignore', 'background'"),
        ({"classes": []}, r"classes is \[\], but must name distinct labels"),
    ],
)
def test_bad_arguments_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        BoundaryLoss(**options)


def test_a_class_beyond_the_logits_is_refused():
    with pytest.raises(ValueError, match="there are 4 classes: labels 0 to 3"):
        BoundaryLoss([1, 4])(random_logits((2, 4, 9, 7)), LABEL_MAPS["void"])


def test_a_distance_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"distance is \(2, 1, 9, 7\), but must be \(2, 4, 9, 7\)"):
        BoundaryLoss()(random_logits((2, 4, 9, 7)), LABEL_MAPS["void"], torch.ones(2, 1, 9, 7))
