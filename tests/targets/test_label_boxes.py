"""Boxes around labels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from signed_distance_reference import patches

from lightning_seg.targets._boxes import label_boxes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    num_labels=st.integers(1, 70),
    size=st.integers(1, 40),
    reach=st.integers(1, 60),
)
def test_boxes_cover_every_pixel_once_and_do_not_touch(
    seed, height, width, num_labels, size, reach
):
    labels = patches(seed, height, width, num_labels, size).astype(np.uint8)
    near = np.zeros((num_labels, height, width), np.int64)
    held = np.zeros(labels.shape, np.int64)
    for label, box in label_boxes(labels, num_labels, reach):
        near[label][box.grown(reach, labels.shape).slices] += 1
        held[box.slices] += labels[box.slices] == label
    assert near.max() == 1
    assert (held == 1).all()


def test_boxes_are_as_small_as_their_objects():
    labels = np.zeros((200, 200), np.uint8)
    labels[20:23, 40:45] = labels[150:160, 150] = 1
    boxes = {box for label, box in label_boxes(labels, 2, 10) if label == 1}
    assert boxes == {(20, 23, 40, 45), (150, 160, 150, 151)}


def test_objects_close_together_share_a_box():
    labels = np.zeros((200, 200), np.uint8)
    labels[:, 0] = labels[0, :112] = labels[195, 145] = 1
    assert [box for label, box in label_boxes(labels, 2, 20) if label == 1] == [(0, 200, 0, 146)]
    assert len([box for label, box in label_boxes(labels, 2, 10) if label == 1]) == 2


def test_absent_labels_have_no_box():
    assert {label for label, _ in label_boxes(np.full((9, 9), 3, np.uint8), 40, 5)} == {3}
    assert not list(label_boxes(np.full((9, 9), 40, np.uint8), 40, 5))
