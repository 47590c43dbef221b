"""Contours of every class, compared with OpenCV's Canny."""

import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lightning_seg.targets import ClassBoundary, class_boundary

VOID = 255
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def by_opencv(labels, num_classes, width):
    maps = [cv2.Canny((labels == k).astype(np.uint8), 0, 1) for k in range(num_classes)]
    return np.stack([cv2.dilate(edges, CROSS, iterations=width) for edges in maps]) / 255


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2)),
    st.integers(1, 5),
    st.integers(0, 2),
)
def test_equals_opencv_to_the_pixel(labels, enlarged, width):
    labels = labels.repeat(enlarged, 0).repeat(enlarged, 1)
    actual = class_boundary(torch.from_numpy(labels)[None], 3, width)[0]
    np.testing.assert_array_equal(actual, by_opencv(labels, 3, width))


@pytest.mark.parametrize("seed", range(5))
def test_equals_opencv_on_round_shapes(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((150, 200), np.uint8)
    for _ in range(25):
        x, y, a, b = rng.integers(0, 200, 4)
        cv2.ellipse(
            labels, (int(x), int(y)), (int(a) // 5, int(b) // 5), int(a), 0, 360,
            int(rng.integers(5)), -1,
        )  # fmt: skip
    actual = class_boundary(torch.from_numpy(labels)[None].long(), 5)[0]
    np.testing.assert_array_equal(actual, by_opencv(labels, 5, 1))


def test_a_straight_edge_is_three_pixels_wide():
    mask = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]] * 4])
    expected = [0, 0, 1, 1, 1, 0, 0, 0]
    assert class_boundary(mask, 2)[0].tolist() == [[expected] * 4] * 2


def test_images_of_a_batch_are_independent():
    masks = torch.randint(0, 3, (3, 20, 30), generator=torch.Generator().manual_seed(0))
    alone = [class_boundary(mask[None], 3) for mask in masks]
    assert torch.equal(class_boundary(masks, 3), torch.cat(alone))


@pytest.mark.parametrize("label", [0, 1, 2])
def test_an_image_of_one_class_has_no_boundary(label):
    assert class_boundary(torch.full((1, 6, 7), label), 2).sum() == 0


def test_void_creates_no_boundary_and_is_never_boundary():
    mask = torch.zeros(1, 12, 12, dtype=torch.int64)
    mask[:, 5:8] = VOID
    assert class_boundary(mask, 2).sum() == 0
    mask[:, 8:] = 1  # the two classes meet in the void only
    assert class_boundary(mask, 2).sum() == 0


def test_a_boundary_reaches_up_to_the_void():
    mask = torch.zeros(1, 12, 12, dtype=torch.int64)
    mask[:, :, 6:] = 1
    mask[:, 6:] = VOID
    boundary = class_boundary(mask, 2)
    assert boundary[0, 0, 4:8, 5].tolist() == [1, 1, 0, 0]
    assert boundary[0, 0, 6:].sum() == 0


def test_ignore_index_can_be_any_label():
    mask = torch.randint(0, 3, (1, 30, 30), generator=torch.Generator().manual_seed(1))
    other = mask.masked_fill(mask == 2, VOID)
    assert torch.equal(class_boundary(mask, 2, ignore_index=2), class_boundary(other, 2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_result_is_float_for_every_label_dtype(dtype):
    boundary = class_boundary(torch.zeros(2, 4, 5, dtype=dtype), 3)
    assert (boundary.shape, boundary.dtype) == ((2, 3, 4, 5), torch.float32)


@pytest.mark.parametrize(
    ("mask", "num_classes", "width", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.int64), 2, 1, r"mask must be \(B, H, W\)"),
        (torch.zeros(1, 4, 4), 2, 1, "integers"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), 0, 1, "num_classes is 0"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), 2, -1, "width is -1"),
    ],
)
def test_bad_arguments_are_refused(mask, num_classes, width, message):
    with pytest.raises(ValueError, match=message):
        class_boundary(mask, num_classes, width)


def test_the_target_is_the_boundary_of_its_width():
    mask = torch.randint(0, 4, (2, 20, 20), generator=torch.Generator().manual_seed(2))
    target = ClassBoundary(width=2, ignore_index=3)
    assert torch.equal(target(mask, 3), class_boundary(mask, 3, 2, 3))


def test_each_parameter_changes_the_key():
    keys = [ClassBoundary().key, ClassBoundary(width=2).key, ClassBoundary(ignore_index=0).key]
    assert len(set(keys)) == 3
    assert re.fullmatch(r"[\w.=-]+", keys[0])


def test_a_bad_width_is_refused_at_construction():
    with pytest.raises(ValueError, match="width is -2"):
        ClassBoundary(width=-2)
