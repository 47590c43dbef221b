"""Inner distances, by the CPU implementation and by that of other devices."""

import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt, distance_transform_edt
from signed_distance_reference import VOID, patches

from lightning_seg.targets import InnerDistance, inner_distance
from lightning_seg.targets._inner_distance_torch import torch_inner_distance


def any_device(mask, num_classes, metric="euclidean", ignore_index=VOID, void="ignore"):
    """`inner_distance` with the torch implementation, on the CPU."""
    return torch_inner_distance(
        mask, num_classes, metric == "chessboard", ignore_index, void == "background"
    )


def by_scipy(labels, num_classes, metric, void):
    """Inner distances by one transform per class, (H, W)."""
    distances = np.zeros(labels.shape)
    for label in range(num_classes):
        member = labels == label
        other = ~member if void == "background" else ~member & (labels != VOID)
        if not other.any():
            fill = np.hypot(*labels.shape) if metric == "euclidean" else max(labels.shape)
            distances[member] = fill
            continue
        transform = distance_transform_edt if metric == "euclidean" else distance_transform_cdt
        distances[member] = transform(~other)[member]
    return distances


@pytest.fixture(params=[inner_distance, any_device], ids=["opencv", "torch"])
def distance(request):
    return request.param


@pytest.mark.parametrize("way", [inner_distance, any_device], ids=["opencv", "torch"])
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    num_labels=st.integers(1, 6),
    size=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.1, 0.9, 0.99]),
    metric=st.sampled_from(["euclidean", "chessboard"]),
    void=st.sampled_from(["ignore", "background"]),
)
def test_equals_scipy(way, seed, height, width, num_labels, size, share, metric, void):
    labels = patches(seed, height, width, num_labels, size, share)
    actual = way(torch.from_numpy(labels)[None], 6, metric, void=void)[0, 0]
    np.testing.assert_allclose(actual, by_scipy(labels, 6, metric, void), rtol=1e-6)


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_distances_reach_across_bands_of_void(distance, void):
    labels = np.full((120, 150), VOID)
    labels[40:60, 50:80] = 0
    labels[10:100, 101] = 1
    labels[118, 3] = 2
    actual = distance(torch.from_numpy(labels)[None], 3, void=void)[0, 0]
    np.testing.assert_allclose(actual, by_scipy(labels, 3, "euclidean", void), rtol=1e-6)


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_real_street_labels_equal_scipy(distance, camvid_root, void):
    path = sorted((camvid_root / "valannot").glob("*.png"))[0]
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64)
    labels[labels == 11] = VOID
    labels = labels[:180, :200]
    actual = distance(torch.from_numpy(labels)[None], 11, void=void)[0, 0]
    np.testing.assert_allclose(actual, by_scipy(labels, 11, "euclidean", void), rtol=1e-6)


def row(distance, labels, **options):
    return distance(torch.tensor([[labels]]), 3, **options)[0, 0, 0].tolist()


def test_counts_pixels_to_the_nearest_of_another_class(distance):
    assert row(distance, [0, 0, 0, 1, 2, 2]) == [3, 2, 1, 1, 1, 2]


def test_diagonal_steps_are_longer_except_in_the_chessboard_metric(distance):
    mask = torch.zeros(1, 3, 3, dtype=torch.int64)
    mask[0, 0, 0] = 1
    assert distance(mask, 2)[0, 0, 2, 2] == pytest.approx(8**0.5)
    assert distance(mask, 2, "chessboard")[0, 0, 2, 2] == 2


def test_void_bounds_a_class_only_as_background(distance):
    labels = [0, 0, VOID, VOID, 1]
    assert row(distance, labels) == [4, 3, 0, 0, 3]
    assert row(distance, labels, void="background") == [2, 1, 0, 0, 1]


def test_a_class_that_fills_the_image_has_its_diagonal(distance):
    mask = torch.zeros(1, 3, 4, dtype=torch.int64)
    assert (distance(mask, 2) == 5).all()
    assert (distance(mask, 2, "chessboard") == 4).all()


def test_a_class_that_fills_all_valid_pixels_has_the_diagonal_there(distance):
    mask = torch.tensor([[[VOID, 2, 2, 2], [2, 2, 2, 2], [VOID, VOID, 2, VOID]]])
    expected = 5.0 * (mask != VOID)
    assert torch.equal(distance(mask, 3)[:, 0], expected)


def test_an_image_of_void_alone_is_zero(distance):
    mask = torch.full((2, 3, 5), VOID)
    assert not distance(mask, 2).any()
    assert not distance(mask, 2, void="background").any()


@pytest.mark.parametrize("void_label", [-1, 0, 4, 255])
def test_ignore_index_can_be_any_label(distance, void_label):
    labels = patches(3, 20, 30, 3, 4) + 1
    expected = distance(torch.from_numpy(np.where(labels == 2, VOID, labels))[None], 5)
    mask = torch.from_numpy(np.where(labels == 2, void_label, labels))[None]
    assert torch.equal(distance(mask, 5, ignore_index=void_label), expected)


def test_images_of_a_batch_are_independent(distance):
    maps = [torch.from_numpy(patches(seed, 25, 40, 4, 7, 0.05))[None] for seed in range(3)]
    alone = torch.cat([distance(mask, 4) for mask in maps])
    assert torch.equal(distance(torch.cat(maps), 4), alone)


def test_one_thread_and_many_threads_agree_bit_for_bit():
    maps = [torch.from_numpy(patches(seed, 300, 400, 6, 40, 0.01)) for seed in range(4)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        many = inner_distance(torch.stack(maps), 6)
        torch.set_num_threads(1)
        assert torch.equal(inner_distance(torch.stack(maps), 6), many)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_labels_can_have_any_integer_dtype(distance, dtype):
    mask = torch.from_numpy(patches(2, 20, 20, 2, 5))[None]
    assert torch.equal(distance(mask.to(dtype), 2), distance(mask, 2))


def test_a_mask_need_not_be_contiguous(distance):
    mask = torch.from_numpy(patches(2, 20, 30, 3, 5))[None]
    expected = distance(mask.transpose(1, 2).contiguous(), 3)
    assert torch.equal(distance(mask.transpose(1, 2), 3), expected)


def test_other_devices_never_copy_the_mask_to_the_host():
    result = any_device(torch.empty(2, 8, 9, dtype=torch.int64, device="meta"), 3)
    assert (result.shape, result.dtype) == ((2, 1, 8, 9), torch.float32)


def test_the_target_is_the_distance():
    mask = torch.from_numpy(patches(2, 20, 30, 3, 5, 0.1))[None]
    target = InnerDistance("chessboard", "background", 1)
    assert torch.equal(target(mask, 3), inner_distance(mask, 3, "chessboard", 1, "background"))


def test_each_parameter_changes_the_targets_key():
    targets = [
        InnerDistance(),
        InnerDistance(metric="chessboard"),
        InnerDistance(void="background"),
        InnerDistance(ignore_index=0),
    ]
    keys = {target.key for target in targets}
    assert len(keys) == len(targets)
    assert all(re.fullmatch(r"[\w.=-]+", key) for key in keys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"metric": "cityblock"},
            "metric is 'cityblock', expected one of: 'euclidean'",
        ),
        ({"void": "drop"}, "void is 'drop', expected one of: 'ignore', 'background'"),
    ],
)
def test_unknown_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        InnerDistance(**options)
    with pytest.raises(ValueError, match=message):
        inner_distance(torch.zeros(1, 2, 2).long(), 2, **options)


def test_a_mask_that_is_not_an_integer_batch_is_refused():
    with pytest.raises(ValueError, match=r"mask must be \(B, H, W\) integers, but is"):
        inner_distance(torch.zeros(1, 3, 4), 2)
