import itertools

import pytest
import torch
from epl_formula import numpy_line
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    on_each_label_map,
    random_logits,
    value_and_gradient,
)

from lightning_seg.losses import EquipotentialLineLoss, _probability_loss, equipotential_line
from lightning_seg.losses.equipotential_line import equipotential_line_loss


class TestEquipotentialLineLoss(LossContract):
    def make(self):
        return EquipotentialLineLoss()

    def expected(self, logits, mask):
        return numpy_line(logits, mask)


@on_each_label_map
@pytest.mark.parametrize(
    "arguments",
    [
        (5, "B", 2, "constant", "sum"),
        (9, "C", 6, "replicate", "mean"),
        (9, "standard", 2, "replicate", "mean"),
    ],
)
def test_equals_the_formula_for_other_arguments(mask, arguments):
    logits = random_logits((2, 3, 9, 7))
    expected = numpy_line(logits.numpy(), mask.numpy(), *arguments)
    actual = equipotential_line_loss(logits, mask, *arguments).item()
    assert actual == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("mu", [2, 6])
@pytest.mark.parametrize("splitter", ["B", "standard"])
def test_gradient_is_the_derivative_for_other_arguments(splitter, mu, reduce):
    logits = random_logits((1, 3, 4, 3)).requires_grad_()
    mask = LABEL_MAPS["void"][:1, 2:6, :3]

    def loss(x):
        return equipotential_line_loss(x, mask, 5, splitter, mu, "constant", reduce)

    assert torch.autograd.gradcheck(loss, logits)


def test_equals_the_reference(reference_case):
    paddings = {"edge": "replicate", "constant": "constant"}
    cases = [(w, mu, "edge", "mean") for w in (5, 7) for mu in (2, 10)]
    cases += [(5, 10, "constant", "mean"), (7, 10, "constant", "mean"), (7, 10, "edge", "sum")]
    for splitter, (size, mu, pad, reduce) in itertools.product("ABC", cases):
        key = f"line|splitter={splitter},w={size},mu={mu},pad={pad},reduce={reduce}"
        loss = EquipotentialLineLoss(size, splitter, mu, paddings[pad], reduce)
        reference_case.check(key, loss)


@pytest.mark.parametrize("splitter", ["A", "C", "standard"])
@on_each_label_map
def test_static_shapes_give_the_same_result(mask, splitter, monkeypatch):
    logits = random_logits((2, 4, 9, 7))
    loss = EquipotentialLineLoss(5, splitter)
    expected = value_and_gradient(loss, logits, mask)
    monkeypatch.setattr(equipotential_line, "_sizes_may_vary", lambda _: False)
    torch.testing.assert_close(value_and_gradient(loss, logits, mask), expected)


def test_the_chunk_size_does_not_matter(monkeypatch):
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    values = []
    for number in (1, 2):
        monkeypatch.setattr(_probability_loss, "_images_at_once", lambda _, number=number: number)
        values.append(value_and_gradient(EquipotentialLineLoss(), logits, mask))
    torch.testing.assert_close(*values)


def test_ties_are_ranked_from_left_to_right():
    mask = torch.zeros(1, 6, 8, dtype=torch.long)
    mask[..., 3:] = 1
    mask[:, 0, :2] = VOID
    logits = torch.zeros(1, 3, 6, 8, dtype=torch.float64)
    expected = numpy_line(logits.numpy(), mask.numpy(), 5)
    assert equipotential_line_loss(logits, mask, 5).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mask", [torch.full((2, 9, 7), 1), LABEL_MAPS["an image of void"]])
def test_images_without_a_line_have_no_gradient(mask):
    mask = torch.where(mask == VOID, VOID, 1)
    value, gradient = value_and_gradient(EquipotentialLineLoss(), random_logits((2, 4, 9, 7)), mask)
    assert value == 0
    assert not gradient.any()


def test_absent_classes_count_only_through_the_softmax():
    logits, mask = random_logits((2, 3, 9, 7)), LABEL_MAPS["blocks"]
    more = torch.cat([logits, torch.full((2, 5, 9, 7), -1e4)], dim=1)
    loss = EquipotentialLineLoss()
    torch.testing.assert_close(loss(more, mask), loss(logits, mask))


def test_cost_grows_with_the_offset_of_the_contour():
    column = torch.arange(32)

    def halves(edge):
        return (column >= edge).long().expand(1, 32, 32)

    def predicted(edge):
        return 20.0 * torch.nn.functional.one_hot(halves(edge), 2).movedim(-1, 1)

    loss = EquipotentialLineLoss(mu=2)
    costs = [loss(predicted(16 + shift), halves(16)).item() for shift in range(4)]
    assert costs[0] == pytest.approx(0, abs=1e-6)
    assert costs == sorted(costs)
    assert costs[1] > 0.1


def test_a_large_exponent_neither_overflows_nor_loses_its_gradient():
    logits, mask = random_logits((2, 4, 9, 7)).float(), LABEL_MAPS["blocks"]
    value, gradient = value_and_gradient(EquipotentialLineLoss(15, mu=2000), logits, mask)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 6}, "kernel_size is 6"),
        ({"kernel_size": 1}, "kernel_size is 1.*3 or more"),
        ({"splitter": "D"}, "splitter is 'D'"),
        ({"mu": 3}, "mu is 3.*even"),
        ({"mu": 0}, "mu is 0.*positive"),
        ({"padding": "edge"}, "padding is 'edge'"),
        ({"reduce": "median"}, "reduce is 'median'.*'mean', 'sum'"),
    ],
)
def test_invalid_arguments_are_named_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        EquipotentialLineLoss(**arguments)
