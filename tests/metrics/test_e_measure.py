import numpy as np
import pytest
import torch
from hypothesis import given, settings
from metrics_by_class import VOID, map_pairs
from reference_maps import CASES, load_case, needs_reference

from lightning_seg.metrics import EMeasure
from lightning_seg.metrics.functional import e_measure


def e_measure_by_pixel(pred, truth, valid):
    """Fan et al., straight from the formula, on binary maps."""
    if not (pred & valid).any() and not (truth & valid).any():
        return np.nan
    p, g = (m[valid].astype(np.float64) for m in (pred, truth))
    if g.sum() == 0:
        total = (1 - p).sum()
    elif g.sum() == g.size:
        total = p.sum()
    else:
        a, b = g - g.mean(), p - p.mean()
        q = 2 * a * b / (a * a + b * b + np.finfo(np.float64).eps)
        total = ((q + 1) ** 2 / 4).sum()
    return total / max(g.size - 1, 1)


def tensors(*maps):
    return [torch.from_numpy(m).long()[None] for m in maps]


@given(map_pairs())
@settings(max_examples=60, deadline=None)
def test_equals_the_formula_pixel_by_pixel(maps):
    pred, truth = maps
    valid = truth != VOID
    expected = [e_measure_by_pixel(pred == k, truth == k, valid) for k in range(3)]
    ours = e_measure(*tensors(pred, truth), 3, ignore_index=VOID)[0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@given(map_pairs())
@settings(max_examples=30, deadline=None)
def test_zeroed_void_is_background_of_every_class(maps):
    pred, truth = maps
    everywhere = np.ones(truth.shape, bool)
    known = truth != VOID
    expected = [e_measure_by_pixel((pred == k) & known, truth == k, everywhere) for k in range(3)]
    ours = e_measure(*tensors(pred, truth), 3, ignore_index=VOID, void="zeroed")[0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@needs_reference
@pytest.mark.parametrize("name", CASES)
def test_equals_pysodmetrics(name):
    values, pred, truth = load_case(name)
    modes = {"raw"} if not values["void_pixels"] else {"void_zeroed_before"}
    for mode in modes:
        entry = values["emeasure"][mode]
        ours = e_measure(pred, truth, values["num_classes"], ignore_index=VOID, void="zeroed")[0]
        for k, score in enumerate(ours.tolist()):
            if not np.isnan(score):  # a class in neither map scores 1 there
                assert score == pytest.approx(entry[str(k)]["em_binary"], abs=1e-12)


def test_a_perfect_map_scores_one():
    truth = torch.arange(12).view(1, 3, 4) % 3
    exact = EMeasure(3, normalize="N")
    exact.update(truth, truth)
    assert exact.compute() == 1
    public = EMeasure(3)
    public.update(truth, truth)
    assert public.compute() == pytest.approx(12 / 11, abs=1e-12)


def test_the_mean_is_over_the_images_that_have_the_class():
    there = torch.tensor([[[0, 1], [0, 1]]])
    elsewhere = torch.zeros_like(there)
    metric = EMeasure(2, average=None, normalize="N")
    metric.update(torch.cat([there, elsewhere]), torch.cat([there, elsewhere]))
    assert metric.compute().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "two classes"),
        ({"num_classes": 3, "normalize": "n"}, "'N-1', 'N'"),
        ({"num_classes": 3, "void": "transparent"}, "'removed', 'zeroed'"),
    ],
)
def test_invalid_settings_list_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        EMeasure(**options)
