import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_seg.metrics import PerSampleMean

VALUES = st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=30)


def mean(*batches):
    metric = PerSampleMean()
    for batch in batches:
        metric.update(batch)
    return metric.compute().item()


@given(VALUES)
def test_it_equals_the_mean(values):
    exact = sum(map(Fraction, values)) / len(values)
    assert mean(torch.tensor(values)) == pytest.approx(float(exact), rel=1e-12, abs=1e-12)


@given(VALUES, st.randoms(use_true_random=False))
def test_order_and_batching_do_not_change_the_value(values, rng):
    shuffled = rng.sample(values, len(values))
    cut = rng.randint(0, len(values))
    split = mean(torch.tensor(shuffled[:cut]), torch.tensor(shuffled[cut:]))
    assert split == mean(torch.tensor(values))


def test_a_scalar_is_one_sample():
    assert mean(torch.tensor(1.0), torch.tensor([2.0, 6.0])) == 3


def test_half_precision_is_summed_exactly():
    assert mean(torch.full((5000,), 0.5, dtype=torch.bfloat16)) == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e13])
def test_a_nan_or_infinite_sample_makes_the_mean_nan(value):
    assert math.isnan(mean(torch.tensor([1.0, value, 2.0])))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_samples_is_nan():
    assert math.isnan(mean())


def test_values_with_gradients_are_detached():
    metric = PerSampleMean()
    metric.update(torch.ones(2, requires_grad=True))
    assert not metric.compute().requires_grad
