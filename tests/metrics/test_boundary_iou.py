import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_by_class import VOID, boundary_iou_by_class, map_pairs

from lightning_seg.metrics import BoundaryIoU
from lightning_seg.metrics.functional import boundary_iou, boundary_iou_counts, boundary_width


def tensors(*maps):
    return [torch.from_numpy(np.asarray(m)).long()[None] for m in maps]


@settings(max_examples=150, deadline=None)
@given(
    map_pairs(),
    st.integers(1, 7),
    st.sampled_from(["transparent", "removed", "zeroed"]),
    st.booleans(),
)
def test_counts_equal_erosion_by_class(pair, width, void, border):
    ours = boundary_iou_counts(
        *tensors(*pair), 3, width=width, ignore_index=VOID, void=void, border=border
    )
    assert torch.stack(ours, 1).tolist() == boundary_iou_by_class(*pair, 3, width, void, border)


@pytest.mark.parametrize(
    ("shape", "width"),
    [((64, 64), 2), ((97, 131), 3), ((256, 256), 7), ((360, 480), 12), ((1024, 2048), 46)],
)
def test_band_is_two_percent_of_the_diagonal(shape, width):
    assert boundary_width(*shape) == width


def test_band_is_at_least_one_pixel_wide():
    assert boundary_width(3, 4) == 1


def test_band_width_rounds_half_to_even():
    assert boundary_width(3, 4, dilation_ratio=0.5) == 2
    assert boundary_width(3, 4, dilation_ratio=0.7) == 4  # 3.5


@settings(max_examples=50, deadline=None)
@given(map_pairs(), st.integers(1, 4))
def test_perfect_prediction_scores_one_where_void_is_transparent(pair, width):
    _, truth = pair
    pred = np.where(truth == VOID, 1, truth)
    _, union = boundary_iou_counts(*tensors(pred, truth), 3, width=width, ignore_index=VOID)
    score = boundary_iou(*tensors(pred, truth), 3, width=width, ignore_index=VOID)
    assert score == 1 if union.any() else score.isnan()


def test_perfect_prediction_scores_below_one_where_void_is_removed():
    truth = np.zeros((8, 8), int)
    truth[:, 4:] = VOID
    pred = np.zeros((8, 8), int)
    score = boundary_iou(*tensors(pred, truth), 2, width=1, ignore_index=VOID, void="removed")
    assert score < 1


def test_boundaries_are_found_across_void_outlines_narrower_than_the_band():
    truth = torch.tensor([[[0, 0, VOID, 1, 1]]])
    pred = torch.tensor([[[0, 0, 0, 1, 1]]])
    _, narrow = boundary_iou_counts(pred, truth, 2, width=1, ignore_index=VOID, border=False)
    _, wide = boundary_iou_counts(pred, truth, 2, width=2, ignore_index=VOID, border=False)
    assert narrow.tolist() == [0, 0]
    assert wide.tolist() == [1, 1]


def test_class_without_band_is_nan_and_left_out_of_the_mean():
    pred = torch.tensor([[[0, 0, 0, 1]]])
    truth = torch.tensor([[[0, 0, 1, 1]]])
    per_class = boundary_iou(pred, truth, 3, width=1, border=False, average=None)
    assert per_class[2].isnan()
    assert boundary_iou(pred, truth, 3, width=1, border=False) == per_class[:2].mean()


def test_all_void_is_nan():
    void = torch.full((1, 4, 5), VOID)
    assert boundary_iou(torch.zeros_like(void), void, 2, ignore_index=VOID).isnan()


def test_a_one_pixel_image_is_boundary_only_with_border():
    one = torch.zeros((1, 1, 1), dtype=torch.int64)
    assert boundary_iou(one, one, 2) == 1
    assert boundary_iou(one, one, 2, border=False).isnan()


def test_predicting_the_ignore_index_is_wrong_for_every_class():
    truth = torch.tensor([[[0, 0, 1, 1]]])
    pred = torch.tensor([[[0, VOID, 1, 1]]])
    intersection, union = boundary_iou_counts(pred, truth, 2, width=9, ignore_index=VOID)
    assert intersection.tolist() == [1, 2]
    assert union.tolist() == [2, 2]


def test_a_class_used_as_ignore_index_is_left_out():
    truth = torch.tensor([[[0, 0, 1, 1, 2, 2]]])
    pred = torch.tensor([[[1, 0, 1, 0, 2, 2]]])
    per_class = boundary_iou(pred, truth, 3, width=9, ignore_index=0, average=None)
    assert per_class.nan_to_num(nan=-1).tolist() == [-1, 0.5, 1]


def test_hundreds_of_classes_give_the_same_counts():
    pair = np.random.default_rng(0).integers(0, 3, (2, 9, 11))
    few = boundary_iou_counts(*tensors(*pair), 3, width=2)
    many = boundary_iou_counts(*tensors(*(pair * 150)), 400, width=2)
    for a, b in zip(few, many):
        assert b[[0, 150, 300]].tolist() == a.tolist()
        assert b.sum() == a.sum()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "num_classes is 1; expected at least 2"),
        ({"num_classes": 3, "void": "gone"}, "void is 'gone'; expected one of 'transparent'"),
        ({"num_classes": 3, "width": 0}, "width is 0"),
        ({"num_classes": 3, "dilation_ratio": 0.0}, "dilation_ratio is 0.0"),
        ({"num_classes": 3, "average": "mean"}, "average is 'mean'"),
    ],
)
def test_invalid_settings_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        BoundaryIoU(**settings)
