import numpy as np
import pytest
import torch

from lightning_seg.losses._stable_ranks import between_ranks

ROWS = 6
by_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
by_length = pytest.mark.parametrize("length", [1, 50, 20_000])  # digits of 8 and of 16 bits


def sorted_ranks(values, candidates, first, last):
    chosen = np.zeros_like(candidates)
    for r in range(len(values)):
        (places,) = np.nonzero(candidates[r])
        order = places[np.argsort(values[r, places], kind="stable")]
        chosen[r, order[first[r] : last[r] + 1]] = True
    return chosen


def check(values, candidates, seed=0):
    rng = np.random.default_rng(seed)
    number = candidates.sum(1).numpy()
    first, last = np.sort(rng.integers(0, np.maximum(number, 1), (2, ROWS)), axis=0)
    first[0], last[0] = 0, number[0] - 1
    first[1], last[1] = 1, 0
    arguments = [torch.from_numpy(ranks.astype(np.int32)) for ranks in (first, last)]
    actual = between_ranks(values, candidates, *arguments)
    expected = sorted_ranks(values.numpy(), candidates.numpy(), first, last)
    np.testing.assert_array_equal(actual.numpy(), expected)


def candidates(length, seed=1):
    chosen = torch.rand(ROWS, length, generator=torch.Generator().manual_seed(seed)) < 0.7
    chosen[:, 0] = True
    return chosen


@by_type
@by_length
def test_ranks_are_those_of_a_stable_sort(dtype, length):
    values = torch.rand(ROWS, length, generator=torch.Generator().manual_seed(0), dtype=dtype)
    check(4 * values, candidates(length))


@by_type
@by_length
def test_equal_values_are_ranked_from_the_left(dtype, length):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 3, (ROWS, length), generator=generator).to(dtype)
    values[-1] = 0.25
    for seed in range(3):
        check(values, candidates(length), seed)


@by_type
@by_length
def test_values_that_differ_only_in_their_last_bit_get_different_ranks(dtype, length):
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(0, 5, (ROWS, length), generator=generator)
    values = (1 + steps * torch.finfo(dtype).eps).to(dtype)
    check(values, candidates(length))


@by_type
def test_the_smallest_and_largest_floats_are_ranked(dtype):
    limits = torch.finfo(dtype)
    row = torch.tensor([limits.max, 0, limits.tiny, torch.inf, limits.smallest_normal / 8, 1])
    values = row.to(dtype).repeat(ROWS, 1)
    check(values, torch.ones_like(values, dtype=torch.bool))


def test_rows_may_be_slices_of_longer_rows():
    whole = torch.rand(ROWS, 70, generator=torch.Generator().manual_seed(0))
    check(whole[:, 13:63], candidates(50))


def test_a_row_without_candidates_selects_nothing():
    nothing = torch.zeros(ROWS, 9, dtype=torch.bool)
    ranks = torch.zeros(ROWS, dtype=torch.int32)
    assert not between_ranks(torch.rand(ROWS, 9), nothing, ranks, ranks - 1).any()


@by_length
def test_nan_raises_no_error(length):
    values = torch.full((ROWS, length), -torch.nan)
    values[:, ::2] = torch.nan
    ranks = torch.zeros(ROWS, dtype=torch.int32)
    between_ranks(values, candidates(length), ranks, ranks + length // 2)
