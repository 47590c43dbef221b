"""Signed distances, by the CPU implementation and by that of other devices."""

import json
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from signed_distance_reference import VOID, by_brute_force, by_scipy, patches

from lightning_seg.targets import signed_distance
from lightning_seg.targets._signed_distance_torch import torch_signed_distance


def any_device(mask, num_classes, clip=None, ignore_index=VOID, void="ignore"):
    """`signed_distance` with the torch implementation, on the CPU."""
    limit = math.hypot(*mask.shape[1:]) if clip is None else clip
    return torch_signed_distance(mask, num_classes, limit, ignore_index, void == "background")


@pytest.fixture(params=[signed_distance, any_device], ids=["opencv", "torch"])
def distance(request):
    return request.param


def mask_of(*rows):
    return torch.tensor([rows])


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-5)


WAYS = pytest.mark.parametrize("way", [signed_distance, any_device], ids=["opencv", "torch"])
VOIDS = st.sampled_from(["ignore", "background"])


@WAYS
@settings(max_examples=60, deadline=None)
@given(
    labels=arrays(
        np.int64,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 1, 2, VOID]),
    ),
    clip=st.sampled_from([0.5, 1.0, 2.0, 2.5, 10.0]),
    void=VOIDS,
)
def test_equals_the_smallest_distance_over_all_pairs_of_pixels(way, labels, clip, void):
    actual = way(torch.from_numpy(labels)[None], 4, clip, void=void)
    close(actual[0], by_brute_force(labels, 4, clip, void))


@WAYS
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    num_labels=st.integers(1, 6),
    size=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.1, 0.9]),
    clip=st.sampled_from([None, 1.0, 2.5, 10, 32.0, 300.0]),
    void=VOIDS,
)
def test_equals_scipy_on_larger_maps(way, seed, height, width, num_labels, size, share, clip, void):
    labels = patches(seed, height, width, num_labels, size, share)
    actual = way(torch.from_numpy(labels)[None], 6, clip, void=void)
    limit = np.hypot(height, width) if clip is None else clip
    close(actual[0], by_scipy(labels, 6, limit, void))


@pytest.mark.parametrize("clip", [3.0, 17.0])
def test_sparse_pixels_far_apart_equal_scipy(distance, clip):
    labels = np.zeros((150, 210), np.int64)
    scattered = np.random.default_rng(5).integers(0, labels.size, 25)
    labels.flat[scattered] = 1 + scattered % 2
    labels[0, 0], labels[-1, -1], labels[70, 0] = 1, 1, VOID
    close(distance(torch.from_numpy(labels)[None], 3, clip)[0], by_scipy(labels, 3, clip))


def test_real_street_labels_equal_scipy(camvid_root):
    path = sorted((camvid_root / "valannot").glob("*.png"))[0]
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64)
    labels[labels == 11] = VOID
    close(signed_distance(torch.from_numpy(labels)[None], 11, 32.0)[0], by_scipy(labels, 11, 32.0))


def test_is_positive_inside_and_at_least_one_in_magnitude(distance):
    result = distance(mask_of([0, 0, 0, 1, 1]), 2)
    assert result[0, :, 0].tolist() == [[3, 2, 1, -1, -2], [-3, -2, -1, 1, 2]]


def test_result_is_float32_with_shape_bkhw(distance):
    result = distance(torch.zeros(2, 5, 7, dtype=torch.int64), 3, 4.0)
    assert (result.shape, result.dtype) == ((2, 3, 5, 7), torch.float32)


@pytest.mark.parametrize("clip", [0.25, 2.5, 10, 127.5, 1000.0, 1e6])
def test_an_absent_class_is_minus_clip_and_one_that_fills_the_image_plus_clip(distance, clip):
    result = distance(torch.zeros(1, 3, 4, dtype=torch.int64), 2, clip)
    assert (result[0, 0] == clip).all()
    assert (result[0, 1] == -clip).all()


def test_without_clip_an_absent_class_is_minus_the_diagonal(distance):
    result = distance(torch.zeros(1, 3, 4, dtype=torch.int64), 2)
    assert (result[0, 0] == 5).all()
    assert (result[0, 1] == -5).all()


def test_a_class_that_fills_all_valid_pixels_is_plus_clip_there(distance):
    result = distance(mask_of([0, 0, VOID]), 2, 10.0)
    assert result[0, 0, 0].tolist() == [10, 10, 0]


def test_ignored_void_does_not_bound_a_class(distance):
    result = distance(mask_of([0, 0, VOID, VOID, 1]), 2)
    assert result[0, 0, 0].tolist() == [4, 3, 0, 0, -3]


def test_void_as_background_bounds_classes_and_lies_outside_all_of_them(distance):
    result = distance(mask_of([0, 0, VOID, VOID, 1]), 2, void="background")
    assert result[0, 0, 0].tolist() == [2, 1, -1, -2, -3]


def test_an_image_of_void_alone_is_zero_or_outside(distance):
    mask = torch.full((1, 2, 3), VOID)
    assert (distance(mask, 2, 4.0) == 0).all()
    assert (distance(mask, 2, 4.0, void="background") == -4).all()


@pytest.mark.parametrize("void_label", [-1, 0, 4, 255])
def test_ignore_index_can_be_any_label(distance, void_label):
    labels = patches(3, 20, 30, 3, 4) + 1
    expected = distance(torch.from_numpy(np.where(labels == 2, VOID, labels))[None], 5, 6.0)
    mask = torch.from_numpy(np.where(labels == 2, void_label, labels))[None]
    assert torch.equal(distance(mask, 5, 6.0, void_label), expected)


def test_images_of_a_batch_are_independent(distance):
    maps = [torch.from_numpy(patches(seed, 25, 40, 4, 7, 0.05))[None] for seed in range(3)]
    alone = torch.cat([distance(mask, 4, 10.0) for mask in maps])
    assert torch.equal(distance(torch.cat(maps), 4, 10.0), alone)


@pytest.mark.parametrize("num_classes", [33, 100, 255, 256, 300])
def test_hundreds_of_classes_are_supported(distance, num_classes):
    labels = patches(1, 24, 31, num_classes, 3)
    labels[0, 0], labels[5] = num_classes - 1, -1
    actual = distance(torch.from_numpy(labels)[None], num_classes, 5.0, -1)
    close(actual[0], by_scipy(labels, num_classes, 5.0, void_label=-1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_labels_can_have_any_integer_dtype(distance, dtype):
    mask = torch.from_numpy(patches(2, 20, 20, 2, 5))[None]
    assert torch.equal(distance(mask.to(dtype), 2, 6.0), distance(mask, 2, 6.0))


def test_a_mask_need_not_be_contiguous(distance):
    mask = torch.from_numpy(patches(2, 20, 30, 3, 5))[None]
    expected = distance(mask.transpose(1, 2).contiguous(), 3, 6.0)
    assert torch.equal(distance(mask.transpose(1, 2), 3, 6.0), expected)


def test_the_mask_is_not_modified(distance):
    mask = torch.from_numpy(patches(2, 20, 30, 3, 5, 0.1))[None]
    before = mask.clone()
    distance(mask, 3, 6.0)
    assert torch.equal(mask, before)


def test_large_clips_are_exact(distance):
    labels = np.zeros((400, 300), np.int64)
    labels[0, 0] = 1
    for clip in (127.0, 128.0, 181.0, 256.0, 399.0):
        close(distance(torch.from_numpy(labels)[None], 2, clip)[0], by_scipy(labels, 2, clip))


def test_other_devices_never_copy_the_mask_to_the_host():
    mask = torch.empty(2, 8, 9, dtype=torch.int64, device="meta")
    result = signed_distance(mask, 3, 10.0)
    assert (result.shape, result.device.type) == ((2, 3, 8, 9), "meta")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_distances_stay_on_the_gpu_and_equal_those_of_the_cpu():
    mask = torch.from_numpy(patches(4, 70, 90, 5, 9, 0.05))[None]
    result = signed_distance(mask.cuda(), 5, 10.0)
    assert result.is_cuda
    close(result.cpu(), signed_distance(mask, 5, 10.0))


@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("case", ["blocks_k3", "void_k3", "thin_k2"])
def test_equals_the_reference_values(distance, reference_folder, case, void):
    cases = json.loads((reference_folder / "losses_sample.json").read_text())["cases"]
    maps = np.load(reference_folder / "losses_cases.npz")
    labels = maps[f"{case}/labels"]
    target = distance(torch.from_numpy(labels), cases[case]["k"], 10.0, void=void) / 10
    np.testing.assert_allclose(target, maps[f"{case}/sdt10_{void}"], atol=1e-6)
    target = distance(torch.from_numpy(labels), cases[case]["k"], 5.0, void=void) / 5
    mean = target.double().movedim(1, -1)[torch.from_numpy(labels != VOID)].mean().item()
    expected = cases[case]["values"][f"sdt_target_mean_valid|clip=5,void={void}"]
    assert mean == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    "mask", [torch.zeros(3, 4).long(), torch.zeros(1, 3, 4), torch.zeros(1, 1)]
)
def test_a_mask_that_is_not_an_integer_batch_is_refused(mask):
    with pytest.raises(ValueError, match=r"mask must be \(B, H, W\) integers, but is"):
        signed_distance(mask, 2)


@pytest.mark.parametrize("clip", [0, -1.0, float("nan"), float("inf")])
def test_a_clip_that_is_not_positive_is_refused(clip):
    with pytest.raises(ValueError, match=r"clip is .* but must be a positive, finite number"):
        signed_distance(torch.zeros(1, 2, 2).long(), 2, clip)


def test_an_unknown_void_policy_is_refused():
    with pytest.raises(ValueError, match="void is 'drop', expected one of: 'ignore', 'background'"):
        signed_distance(torch.zeros(1, 2, 2).long(), 2, void="drop")


def test_zero_classes_are_refused():
    with pytest.raises(ValueError, match="num_classes is 0"):
        signed_distance(torch.zeros(1, 2, 2).long(), 0)
