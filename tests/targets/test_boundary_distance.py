"""The level sets of the boundary loss."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from signed_distance_reference import VOID, patches

from lightning_seg.targets import BoundaryDistance, boundary_distance


def by_scipy(labels, num_classes, void):
    """Level sets by two transforms per class, (K, H, W)."""
    levels = np.zeros((num_classes, *labels.shape))
    for label in range(num_classes):
        inside = labels == label
        outside = ~inside if void == "background" else ~inside & (labels != VOID)
        if inside.any() and outside.any():
            levels[label] += distance_transform_edt(~inside) * ~inside
            levels[label] -= (distance_transform_edt(~outside) - 1) * inside
    if void == "ignore":
        levels[:, labels == VOID] = 0
    return levels


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    num_labels=st.integers(1, 6),
    size=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.1, 0.9]),
    void=st.sampled_from(["ignore", "background"]),
)
def test_equals_scipy(seed, height, width, num_labels, size, share, void):
    labels = patches(seed, height, width, num_labels, size, share)
    actual = boundary_distance(torch.from_numpy(labels)[None], 6, void=void)[0]
    np.testing.assert_allclose(actual, by_scipy(labels, 6, void), rtol=1e-6, atol=1e-5)


def test_is_zero_on_boundary_pixels_and_negative_inside():
    levels = boundary_distance(torch.tensor([[[0, 0, 0, 1, 1]]]), 2)[0, :, 0]
    assert levels.tolist() == [[-2, -1, 0, 1, 2], [3, 2, 1, 0, -1]]


def test_absent_classes_and_classes_that_fill_the_image_are_zero():
    assert not boundary_distance(torch.zeros(1, 3, 4, dtype=torch.int64), 2).any()
    mask = torch.tensor([[[VOID, 0, 0]]])
    assert not boundary_distance(mask, 2, void="ignore").any()
    assert boundary_distance(mask, 2)[0, 0, 0].tolist() == [1, 0, -1]


def test_a_single_corner_pixel_does_not_count_as_an_absent_class():
    mask = torch.zeros(1, 300, 400, dtype=torch.int64)
    mask[0, 0, 0] = 1
    farthest = boundary_distance(mask, 2)[0, 1, -1, -1].item()
    assert farthest == pytest.approx(np.hypot(299, 399))


def test_the_target_is_the_level_set():
    mask = torch.from_numpy(patches(2, 20, 30, 3, 5, 0.1))[None]
    assert torch.equal(
        BoundaryDistance("ignore", 1)(mask, 3), boundary_distance(mask, 3, 1, "ignore")
    )


def test_each_parameter_changes_the_targets_key():
    targets = [BoundaryDistance(), BoundaryDistance("ignore"), BoundaryDistance(ignore_index=0)]
    keys = {target.key for target in targets}
    assert len(keys) == len(targets)
    assert all(re.fullmatch(r"[\w.=-]+", key) for key in keys)


def test_an_unknown_void_policy_is_refused_at_construction():
    with pytest.raises(ValueError, match="void is 'drop', expected one of: 'ignore', 'background'"):
        BoundaryDistance(void="drop")
