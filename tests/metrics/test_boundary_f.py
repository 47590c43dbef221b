import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_by_class import VOID, boundary_f_by_class, map_pairs

from lightning_seg.metrics import BoundaryFMeasure
from lightning_seg.metrics.functional import (
    boundary_f_counts,
    boundary_f_scores,
    tolerance_in_pixels,
)
from lightning_seg.metrics.functional.match_by_dilation import match_by_dilation
from lightning_seg.metrics.functional.match_by_search import match_by_search


def score(preds, target, num_classes, **settings):
    metric = BoundaryFMeasure(num_classes, **settings)
    metric.update(preds, target)
    return metric.compute()


@settings(max_examples=150, deadline=None)
@given(map_pairs(), st.integers(0, 5), st.sampled_from(["zeroed", "removed"]))
def test_counts_equal_a_brute_force_search_by_class(pair, radius, void):
    maps = [torch.from_numpy(m).long()[None] for m in pair]
    tolerance = radius or 0.0
    ours = boundary_f_counts(*maps, 3, tolerance, ignore_index=VOID, void=void)
    expected = boundary_f_by_class(*pair, 3, radius, void)
    assert torch.stack(ours, dim=-1)[0].tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 30, 31, 70, 300]), st.integers(0, 30))
def test_search_and_dilation_agree(seed, num_classes, radius):
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(1, 14)), int(rng.integers(1, 14)))
    used = rng.integers(0, num_classes + 2, 4)  # few labels on the map, of many there are
    dtype = torch.uint8 if num_classes < 255 else torch.int32
    pred, truth = (torch.from_numpy(rng.choice(used, shape)).to(dtype) for _ in range(2))
    uncounted = torch.from_numpy(rng.random(shape) < 0.2)
    for skip in (None, uncounted):
        actual = match_by_search(pred, truth, num_classes, radius, skip)
        dilated = match_by_dilation(pred, truth, num_classes, radius, skip)
        for a, b in zip(actual, dilated):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("tolerance", "shape", "pixels"),
    [
        (0.008, (64, 64), 1),
        (0.008, (97, 131), 2),
        (0.008, (360, 480), 5),
        (0.008, (1024, 2048), 19),
        (0.0005, (1024, 2048), 2),
        (3, (64, 64), 3),
        (1, (64, 64), 1),
    ],
)
def test_tolerance_is_a_share_of_the_diagonal_or_pixels(tolerance, shape, pixels):
    assert tolerance_in_pixels(tolerance, *shape) == pixels


def test_the_image_border_is_not_a_contour():
    full = torch.zeros((1, 6, 7), dtype=torch.int64)
    counts = boundary_f_counts(full, full, 2, 1)
    assert counts.truth.sum() == 0


def test_contours_are_shifted_by_half_a_pixel_towards_the_origin():
    truth = torch.zeros((1, 5, 5), dtype=torch.int64)
    truth[0, 2, 2] = 1
    assert boundary_f_counts(truth, truth, 2, 1).truth.tolist() == [[4, 4]]


def test_a_contour_only_in_the_prediction_has_recall_one_and_f_zero():
    truth = torch.zeros((1, 5, 5), dtype=torch.int64)
    pred = truth.clone()
    pred[0, 2, 2] = 1
    precision, recall, f = boundary_f_scores(boundary_f_counts(pred, truth, 3, 1))
    assert (precision[0, 1], recall[0, 1], f[0, 1]) == (0, 1, 0)
    precision, recall, f = boundary_f_scores(boundary_f_counts(truth, pred, 3, 1))
    assert (precision[0, 1], recall[0, 1], f[0, 1]) == (1, 0, 0)
    assert f[0, 2].isnan()


def test_f_is_the_mean_over_images_with_the_class_then_over_classes():
    truth = torch.zeros((3, 8, 8), dtype=torch.int64)
    truth[0, :, 4:] = 1
    truth[1, :, 2:4] = 1
    pred = truth.clone()
    pred[1] = 0
    per_class = score(pred, truth, 3, tolerance=1, average=None)
    assert per_class[:2].tolist() == [0.5, 0.5]
    assert per_class[2].isnan()
    assert score(pred, truth, 3, tolerance=1) == 0.5


def test_surface_dice_is_the_matched_share_of_both_contours():
    rng = torch.Generator().manual_seed(0)
    pred, truth = torch.randint(0, 3, (2, 4, 9, 9), generator=rng)
    counts = boundary_f_counts(pred, truth, 3, 1)
    matched = (counts.matched_pred + counts.matched_truth).double()
    expected = (matched / (counts.pred + counts.truth)).mean(0)
    value = score(pred, truth, 3, tolerance=1, average=None, score="surface_dice")
    assert torch.allclose(value, expected)
    assert 0 < value.min() < value.max() < 1


def test_absent_score_counts_images_without_the_class():
    truth = torch.zeros((3, 8, 8), dtype=torch.int64)
    truth[0, :, 4:] = 1
    pred = torch.zeros_like(truth)
    per_class = score(pred, truth, 3, tolerance=1, average=None, absent_score=1)
    assert torch.allclose(per_class, torch.tensor([2 / 3, 2 / 3, 1]).double(), atol=1e-12)


def test_pooled_takes_f_of_the_summed_counts():
    rng = torch.Generator().manual_seed(0)
    pred, truth = torch.randint(0, 3, (2, 4, 9, 9), generator=rng)
    counts = boundary_f_counts(pred, truth, 4, 1)
    p = counts.matched_pred.sum(0) / counts.pred.sum(0)
    r = counts.matched_truth.sum(0) / counts.truth.sum(0)
    pooled = score(pred, truth, 4, tolerance=1, pooled=True, average=None)
    assert torch.allclose(pooled[:3].float(), (2 * p * r / (p + r))[:3])
    assert pooled[3].isnan()
    assert score(pred, truth, 4, tolerance=1, pooled=True, average=None, absent_score=1)[3] == 1


@settings(max_examples=50, deadline=None)
@given(map_pairs(), st.sampled_from(["zeroed", "removed"]), st.sampled_from([0.008, 1, 3]))
def test_perfect_prediction_scores_one(pair, void, tolerance):
    truth = torch.from_numpy(pair[1]).long()[None]
    pred = torch.where(truth == VOID, 1, truth)
    f = score(pred, truth, 3, tolerance=tolerance, ignore_index=VOID, void=void)
    assert f.isnan() or f == 1


def test_zeroed_void_gives_both_maps_a_common_contour_and_removed_does_not():
    truth = torch.zeros((1, 8, 8), dtype=torch.int64)
    truth[..., 4:] = VOID
    zeroed = boundary_f_counts(truth, truth, 2, 1, ignore_index=VOID)
    removed = boundary_f_counts(truth, truth, 2, 1, ignore_index=VOID, void="removed")
    assert zeroed.matched_pred[0, 0] == 8
    assert removed.truth.sum() == 0


def test_all_void_is_nan():
    void = torch.full((1, 4, 5), VOID)
    for mode in ("zeroed", "removed"):
        assert score(torch.zeros_like(void), void, 2, ignore_index=VOID, void=mode).isnan()


@pytest.mark.parametrize("tolerance", [-1, 1.5])
def test_an_invalid_tolerance_raises(tolerance):
    with pytest.raises(ValueError, match="tolerance is"):
        BoundaryFMeasure(3, tolerance=tolerance)
