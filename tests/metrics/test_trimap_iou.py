import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_by_class import (
    VOID,
    iou_in_region,
    map_pairs,
    transition_band,
    trimap_per_class,
    void_band,
)

from lightning_seg.metrics import TrimapIoU
from lightning_seg.metrics.functional import trimap_iou, trimap_iou_counts

WIDTHS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def counts(pair, widths, num_classes=3, **settings):
    maps = [torch.from_numpy(np.asarray(m)).long()[None] for m in pair]
    actual = trimap_iou_counts(*maps, num_classes, widths, ignore_index=VOID, **settings)
    return torch.stack(actual, dim=-1).tolist()


@settings(max_examples=80, deadline=None)
@given(map_pairs(), WIDTHS, st.sampled_from([transition_band, void_band]))
def test_counts_equal_a_brute_force_count_inside_and_outside_the_band(pair, widths, make_band):
    name = {transition_band: "transition", void_band: "void"}[make_band]
    pred, truth = pair
    bands = [make_band(truth, w) for w in widths]
    rests = [~band & (truth != VOID) for band in bands]
    for region, masks in (("boundary", bands), ("interior", rests)):
        expected = [iou_in_region(pred, truth, 3, mask) for mask in masks]
        assert counts(pair, widths, region=region, band=name) == expected


@settings(max_examples=80, deadline=None)
@given(map_pairs(), WIDTHS, st.sampled_from(["boundary", "interior"]))
def test_per_class_counts_equal_erosion_and_dilation(pair, widths, region):
    expected = [trimap_per_class(*pair, 3, w, region) for w in widths]
    assert counts(pair, widths, region=region, band="per_class") == expected


def test_per_class_counts_do_not_depend_on_the_number_of_classes():
    pair = np.random.default_rng(0).integers(0, 3, (2, 9, 11))
    few = np.array(counts(pair, [1, 2, 4], band="per_class"))
    many = np.array(counts(pair * 40, [1, 2, 4], num_classes=100, band="per_class"))
    assert (many[:, [0, 40, 80]] == few).all()
    assert many.sum() == few.sum()


def test_values_follow_the_order_of_the_widths():
    pair = np.kron(np.random.default_rng(0).integers(0, 3, (2, 2, 3)), np.ones((12, 12), int))
    forth, back = counts(pair, [1, 2, 5]), counts(pair, [5, 2, 1])
    assert forth == back[::-1]
    assert forth[0] != forth[1]


def test_shape_is_widths_or_widths_by_classes():
    truth = torch.randint(0, 3, (2, 8, 9))
    assert trimap_iou(truth, truth, 3).shape == (5,)
    assert trimap_iou(truth, truth, 3, average=None).shape == (5, 3)


def test_image_without_a_transition_is_nan_at_the_boundary_and_scored_in_the_interior():
    truth = torch.zeros((1, 6, 6), dtype=torch.int64)
    assert trimap_iou(truth, truth, 2).isnan().all()
    assert (trimap_iou(truth, truth, 2, region="interior") == 1).all()


def test_all_void_is_nan():
    void = torch.full((1, 4, 5), VOID)
    assert trimap_iou(torch.zeros_like(void), void, 2, ignore_index=VOID).isnan().all()


def test_width_one_is_one_pixel_on_each_side():
    truth = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    _, union = trimap_iou_counts(truth, truth, 2, widths=[1])
    assert union.tolist() == [[1, 1]]


@pytest.mark.parametrize("widths", [[], [0], [1, -2], [1.5]])
def test_invalid_widths_raise(widths):
    with pytest.raises(ValueError, match="widths is"):
        TrimapIoU(3, widths=widths)


@pytest.mark.parametrize("setting", ["region", "band", "average"])
def test_unknown_choices_raise(setting):
    with pytest.raises(ValueError, match=f"{setting} is 'other'"):
        TrimapIoU(3, **{setting: "other"})
