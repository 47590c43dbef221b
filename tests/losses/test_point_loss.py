import itertools

import pytest
import torch
from epl_formula import numpy_point
from loss_contract import LABEL_MAPS, LossContract, on_each_label_map, random_logits

from lightning_seg.losses import PointLoss, _probability_loss
from lightning_seg.losses.point import point_loss


class TestPointLoss(LossContract):
    def make(self):
        return PointLoss()

    def expected(self, logits, mask):
        return numpy_point(logits, mask)


@on_each_label_map
@pytest.mark.parametrize(
    "arguments",
    [(5, "B", "l1", "constant"), (5, "C", "l2", "replicate"), (3, "standard", "l1", "replicate")],
)
def test_equals_the_formula_for_other_arguments(mask, arguments):
    logits = random_logits((2, 3, 9, 7))
    expected = numpy_point(logits.numpy(), mask.numpy(), *arguments)
    assert point_loss(logits, mask, *arguments).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("padding", ["replicate", "constant"])
@pytest.mark.parametrize("splitter", ["B", "standard"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_gradient_is_the_derivative_for_other_arguments(norm, splitter, padding):
    logits = random_logits((1, 3, 4, 3)).requires_grad_()
    mask = LABEL_MAPS["void"][:1, 2:6, :3]

    def loss(x):
        return point_loss(x, mask, 5, splitter, norm, padding)

    assert torch.autograd.gradcheck(loss, logits)


def test_equals_the_reference(reference_case):
    for splitter, size, norm in itertools.product("ABC", (5, 7), ("l1", "l2")):
        key = f"point|splitter={splitter},w={size},norm={norm},pad=edge"
        loss = PointLoss(size, splitter, norm)
        reference_case.check(key, loss)
        reference_case.check_single_precision(key, loss)


@pytest.mark.parametrize(("norm", "worst"), [("l1", 4), ("l2", 16)])
def test_the_worst_prediction_costs_the_full_potential(norm, worst):
    mask = torch.zeros(1, 9, 7, dtype=torch.long)
    logits = torch.tensor([-1e4, 1e4]).view(1, 2, 1, 1).expand(1, 2, 9, 7)
    assert PointLoss(norm=norm)(logits, mask).item() == pytest.approx(worst)


def test_a_kernel_of_one_pixel_compares_probabilities():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["blocks"]
    one_hot = torch.nn.functional.one_hot(mask, 4).movedim(-1, 1)
    expected = (logits.softmax(1) - one_hot).square().mean()
    torch.testing.assert_close(PointLoss(kernel_size=1)(logits, mask), expected)


def test_images_may_be_smaller_than_the_kernel():
    logits, mask = random_logits((1, 3, 1, 2)), torch.tensor([[[0, 2]]])
    for splitter in ("C", "standard"):
        expected = numpy_point(logits.numpy(), mask.numpy(), 11, splitter)
        assert point_loss(logits, mask, 11, splitter).item() == pytest.approx(expected)


def test_the_chunk_size_does_not_matter(monkeypatch):
    logits, mask = random_logits((2, 4, 9, 7)).requires_grad_(), LABEL_MAPS["void"]
    values = []
    for number in (1, 2):
        monkeypatch.setattr(_probability_loss, "_images_at_once", lambda _, number=number: number)
        value = PointLoss()(logits, mask)
        values.append((value, *torch.autograd.grad(value, logits)))
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 6}, "kernel_size is 6"),
        ({"splitter": "a"}, "splitter is 'a'"),
        ({"norm": "l3"}, "norm is 'l3'.*'l1', 'l2'"),
        ({"padding": "edge"}, "padding is 'edge'"),
    ],
)
def test_invalid_arguments_are_named_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        PointLoss(**arguments)
