import numpy as np
import pytest
import torch
from hypothesis import given, settings
from metrics_by_class import VOID, map_pairs
from reference_maps import CASES, load_case, needs_reference

from lightning_seg.metrics import SurfaceDistance
from lightning_seg.metrics.functional import surface_distances


def outline(mask, solid):
    """Return mask pixels with a 4-neighbour outside mask and solid, or outside the image."""
    body = np.pad(mask | solid, 1)
    around = [body[:-2, 1:-1], body[2:, 1:-1], body[1:-1, :-2], body[1:-1, 2:]]
    return np.argwhere(mask & ~np.logical_and.reduce(around))


def by_brute_force(pred, truth, k, percentile, void):
    known = truth != VOID
    solid = ~known if void == "transparent" else np.zeros_like(known)
    a, b = outline((pred == k) & known, solid), outline(truth == k, solid)
    if len(a) == 0 and len(b) == 0:
        return np.nan, np.nan
    if len(a) == 0 or len(b) == 0:
        return [np.hypot(*truth.shape)] * 2
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    there, back = apart.min(axis=1), apart.min(axis=0)
    hausdorff = max(np.percentile(there, percentile), np.percentile(back, percentile))
    return np.concatenate([there, back]).mean(), hausdorff


@pytest.mark.parametrize("void", ["transparent", "zeroed"])
@given(maps=map_pairs())
@settings(max_examples=40, deadline=None)
def test_equals_a_brute_force_search_over_outline_pixels(void, maps):
    pred, truth = maps
    expected = [by_brute_force(pred, truth, k, 90, void) for k in range(3)]
    tensors = (torch.from_numpy(m).long()[None] for m in maps)
    ours = surface_distances(*tensors, 3, 90, ignore_index=VOID, void=void)
    np.testing.assert_allclose(torch.stack(ours, -1)[0], expected, rtol=1e-12)


@needs_reference
@pytest.mark.parametrize("name", CASES)
def test_equals_monai(name):
    """It computes in float32."""
    values, pred, truth = load_case(name)
    modes = values["surface_distance"]
    entry = modes["surface_void_zeroed_before" if values["void_pixels"] else "surface_no_void"]
    options = {"missing": "infinite", "ignore_index": VOID, "void": "zeroed"}
    for key, percentile in (("monai_hausdorff", 100), ("monai_hausdorff95", 95)):
        ours = surface_distances(pred, truth, values["num_classes"], percentile, **options)
        for actual, expected in zip(ours.hausdorff[0].tolist(), entry[key], strict=True):
            if expected is not None:
                assert actual == pytest.approx(float(expected), rel=1e-5)
    for actual, expected in zip(ours.mean[0].tolist(), entry["monai_assd"], strict=True):
        if expected is not None:
            assert actual == pytest.approx(float(expected), rel=1e-5)


def halves(column, width=6):
    labels = torch.zeros(1, 4, width, dtype=torch.int64)
    labels[..., column:] = 1
    return labels


def test_an_outline_moved_by_two_pixels_is_at_most_two_away():
    metric = SurfaceDistance(2, "hausdorff", percentile=100, average=None)
    metric.update(halves(2, 40), halves(4, 40))
    assert metric.compute().tolist() == [2, 2]


@pytest.mark.parametrize(
    ("missing", "expected"), [("diagonal", 5.0), ("infinite", float("inf")), ("skip", None)]
)
def test_a_missed_class_costs_the_chosen_distance(missing, expected):
    truth = torch.zeros(1, 3, 4, dtype=torch.int64)
    truth[0, 1, 1] = 1
    metric = SurfaceDistance(2, missing=missing, average=None)
    metric.update(torch.zeros_like(truth), truth)
    value = metric.compute()[1].item()
    assert np.isnan(value) if expected is None else value == expected


def test_void_creates_no_outline():
    truth = halves(3)
    truth[0, 1:3, 2:4] = VOID
    metric = SurfaceDistance(2, "hausdorff", percentile=100, ignore_index=VOID)
    metric.update(halves(3), truth)
    assert metric.compute() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 0}, "percentile is 0"),
        ({"measure": "max"}, "'mean', 'hausdorff'"),
        ({"missing": "zero"}, "'diagonal', 'infinite', 'skip'"),
    ],
)
def test_invalid_settings_list_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        SurfaceDistance(3, **options)
