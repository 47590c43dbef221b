import itertools

import numpy as np
import pytest
import torch
from epl_formula import potentials

from lightning_seg.losses import anisotropic_convolution

SPLITTERS = ["A", "B", "C", "standard"]


@pytest.fixture
def maps():
    return torch.rand(2, 2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("padding", ["replicate", "constant"])
@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9, 13])
def test_is_the_sum_along_each_direction(maps, kernel_size, splitter, padding):
    actual = anisotropic_convolution(maps, kernel_size, splitter, padding).numpy()
    for b, k in np.ndindex(2, 2):
        expected = np.stack([*potentials(maps[b, k].numpy(), kernel_size, splitter, padding)])
        np.testing.assert_allclose(actual[:, b, k], expected, rtol=1e-12)


def test_equals_the_reference(reference_case):
    maps = torch.where(reference_case.mask.unsqueeze(1) == 255, 0, reference_case.maps["probs"])
    actual = anisotropic_convolution(maps, 5, "C")
    # The stored diagonals go up-left, up-right, down-left, down-right.
    stored = reference_case.maps["aniso_w5_C_edge"][[0, 1, 2, 3, 4, 7, 5, 6]]
    torch.testing.assert_close(actual, stored)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_the_inside_of_an_object_has_the_full_potential(splitter, kernel_size):
    field = anisotropic_convolution(torch.ones(1, 1, 3, 4), kernel_size, splitter)
    torch.testing.assert_close(field, torch.full_like(field, kernel_size // 2 + 1))


def test_the_potential_of_a_step_edge_counts_the_pixels_ahead():
    step = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1]).expand(1, 1, 3, 8)
    up, down, left, right = anisotropic_convolution(step, 5, "A")[:, 0, 0, 1].tolist()
    assert up == down == [0, 0, 0, 0, 3, 3, 3, 3]
    assert left == [0, 0, 0, 0, 1, 2, 3, 3]
    assert right == [0, 0, 1, 2, 3, 3, 3, 3]


def as_set(fields):
    return sorted(tuple(field.flatten().tolist()) for field in fields)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_flips_and_quarter_turns_permute_the_directions(maps, splitter):
    # Whole numbers, so that the order of additions means nothing.
    maps = (8 * maps).round()
    fields = anisotropic_convolution(maps, 5, splitter)
    for turns, flip in itertools.product(range(4), [[], [-1]]):

        def turn(x, turns=turns, flip=flip):
            return x.rot90(turns, (-2, -1)).flip(flip)

        assert as_set(anisotropic_convolution(turn(maps), 5, splitter)) == as_set(turn(fields))


def test_diagonal_directions_differ_from_axis_directions(maps):
    axes, diagonals = (anisotropic_convolution(maps, 5, splitter) for splitter in "AB")
    both = anisotropic_convolution(maps, 5, "C")
    assert not {*as_set(axes)} & {*as_set(diagonals)}
    assert torch.equal(both, torch.cat([axes, diagonals]))


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_gradient_is_the_derivative(maps, splitter):
    maps = maps[:1, :, :3].requires_grad_()
    for padding in ("replicate", "constant"):
        assert torch.autograd.gradcheck(
            lambda x, padding=padding: anisotropic_convolution(x, 5, splitter, padding), maps
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size is 4.*odd"),
        ({"kernel_size": -3}, "kernel_size is -3.*positive"),
        ({"splitter": "D"}, "splitter is 'D'.*'A', 'B', 'C', 'standard'"),
        ({"padding": "reflect"}, "padding is 'reflect'.*'replicate', 'constant'"),
    ],
)
def test_invalid_arguments_are_named(maps, arguments, message):
    with pytest.raises(ValueError, match=message):
        anisotropic_convolution(maps, **arguments)
