import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightning_seg.data.reading.labels import ColorLabels, IdLabels, distinct_colors
from lightning_seg.errors import InputError

COLORS = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (255, 0, 0))
PATH = Path("some/label.png")


@given(arrays(np.int64, (5, 7), elements=st.integers(0, len(COLORS))))
def test_each_colour_becomes_its_class_and_ignored_colours_255(ids):
    palette = np.array([*COLORS, (0, 0, 0)], np.uint8)
    expected = np.where(ids == len(COLORS), 255, ids)
    decode = ColorLabels(COLORS, ignored=((0, 0, 0),))
    np.testing.assert_array_equal(decode(palette[ids], PATH), expected)


@pytest.mark.parametrize("wrong", [(254, 255, 255), (0, 1, 255), (0, 0, 0), (255, 0, 255)])
def test_an_unknown_colour_is_named_with_its_position_count_and_hint(wrong):
    label = np.full((4, 6, 3), 255, np.uint8)
    label[2, 3] = label[3, 5] = wrong
    message = (
        rf"label\.png: label colour \({wrong[0]}, {wrong[1]}, {wrong[2]}\) at row 2, column 3 "
        r"\(2 unknown pixels in all\).*Do this\."
    )
    with pytest.raises(InputError, match=message):
        ColorLabels(COLORS, hint="Do this.")(label, PATH)


def test_positions_in_a_window_are_reported_as_positions_in_the_file():
    with pytest.raises(InputError, match="row 100, column 201 "):
        ColorLabels(COLORS)(np.array([[COLORS[0], (9, 9, 9)]], np.uint8), PATH, origin=(100, 200))


@pytest.mark.parametrize("wrong", [(128, 0, 0), (101, 255, 255), (101, 0, 255), (90, 90, 0)])
def test_a_colour_beyond_the_tolerance_is_unknown(wrong):
    with pytest.raises(InputError, match=rf"colour \({wrong[0]}, .*row 0, column 1 \(1 unknown"):
        ColorLabels(COLORS, tolerance=100)(np.array([[COLORS[0], wrong]], np.uint8), PATH)


def test_colours_within_the_tolerance_are_accepted_with_one_warning():
    label = np.array([[(225, 227, 227), (9, 222, 221)], [(0, 0, 255), (255, 0, 0)]], np.uint8)
    decode, path = ColorLabels(COLORS, tolerance=100), Path("blurred.tif")
    with pytest.warns(UserWarning, match=r"blurred\.tif: 50\.00% .*\(225, 227, 227\)"):
        np.testing.assert_array_equal(decode(label, path), [[0, 2], [1, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(label, path)


def test_a_tolerance_that_mixes_colours_is_refused():
    with pytest.raises(
        InputError, match=r"tolerance of 5, .*cannot be distinguished from another colour"
    ):
        ColorLabels(((0, 0, 0), (10, 0, 0)), tolerance=5)(np.zeros((1, 1, 3), np.uint8), PATH)


@pytest.mark.parametrize(
    ("decode", "shape"),
    [(ColorLabels(COLORS), (1500, 1500, 3)), (IdLabels((0, 255), ()), (1500, 1500))],
)
def test_decoding_takes_little_memory_beside_the_label(decode, shape):
    decode(np.full((1, 1, *shape[2:]), 255, np.uint8), PATH)
    label = np.full(shape, 255, np.uint8)
    tracemalloc.start()
    decode(label, PATH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 1500 * 1500


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids_stay_and_255_is_ignored(dtype):
    label = np.array([[0, 1, 2, 255]], dtype)
    np.testing.assert_array_equal(IdLabels((0, 1, 2))(label, PATH), [[0, 1, 2, 255]])


def test_values_stand_for_classes_in_their_order():
    label = np.array([[255, 0, 7]], np.uint8)
    decode = IdLabels((0, 255), ignored=(7,))
    np.testing.assert_array_equal(decode(label, PATH), [[1, 0, 255]])


@pytest.mark.parametrize(
    ("value", "dtype"), [(3, np.uint8), (254, np.uint8), (1000, np.uint16), (-1, np.int16)]
)
def test_an_unknown_value_is_named_with_its_position_count_and_hint(value, dtype):
    label = np.zeros((3, 4), dtype)
    label[1, 2] = value
    message = (
        rf"label\.png: label value {value} at row 1, column 2 \(1 unknown pixels in all\) is none "
        r"of the 3 classes \(0 to 2\)\. Do this\."
    )
    with pytest.raises(InputError, match=message):
        IdLabels((0, 1, 2), hint="Do this.")(label, PATH)


@pytest.mark.parametrize("decode", [IdLabels((0, 1)), ColorLabels(COLORS)])
def test_the_error_on_a_jpeg_label_mentions_blur(decode):
    label = np.full((2, 2, 3) if decode.colors else (2, 2), 9, np.uint8)
    with pytest.raises(InputError, match=r"a\.JPG: .*JPEG blurs labels: export them again as PNG"):
        decode(label, Path("a.JPG"))


def test_float_labels_are_refused():
    with pytest.raises(InputError, match=r"whole numbers.*float32"):
        IdLabels((0, 1))(np.zeros((2, 2), np.float32), PATH)


@pytest.mark.parametrize(("values", "ignored"), [((0, 1, 1), ()), ((0, 255), (255,))])
def test_one_value_cannot_mean_two_things(values, ignored):
    with pytest.raises(InputError, match="more than one class"):
        IdLabels(values, ignored)(np.zeros((2, 2), np.uint8), PATH)


def test_colours_follow_the_voc_palette():
    colors = distinct_colors(256)
    assert (colors[0], colors[1], colors[3]) == ((0, 0, 0), (128, 0, 0), (128, 128, 0))
    assert colors[255] == (224, 224, 192)
    assert len(set(colors)) == 256


@pytest.mark.parametrize(
    ("dtype", "unknown"),
    [
        (np.int8, -1),
        (np.int8, -128),
        (np.int16, -1),
        (np.int32, -(2**31)),
        (np.int64, 2**62),
        (np.uint16, 65_535),
        (np.uint16, 256),
        (np.uint16, 257),
        (np.uint64, 2**64 - 1),
    ],
)
def test_any_number_of_the_type_is_unknown_until_it_is_named_as_ignored(dtype, unknown):
    label = np.array([[unknown, unknown], [1, 0]], dtype)
    for ignored in ((), (255,), (65_534,)):
        with pytest.raises(InputError, match=rf"label value {unknown} at row 0, column 0 \(2 unk"):
            IdLabels((0, 1), ignored)(label, PATH)
    mask = IdLabels((0, 1), (unknown,))(label, PATH)
    np.testing.assert_array_equal(mask, [[255, 255], [1, 0]])


def test_numbers_far_apart_have_a_tolerance_too():
    label = np.array([[-1_000_002, -1_000_000, -2, 1, 9]], np.int32)
    decode = IdLabels((0, 10), (-1_000_000,), tolerance=2)
    with pytest.warns(UserWarning, match="nearly a class's value"):
        np.testing.assert_array_equal(
            decode(label, Path("far.tif")), np.array([[255, 255, 0, 0, 1]])
        )


def test_signed_masks_are_read_with_their_own_void(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[-1, -1], [1, 1]], np.int8))
    with pytest.raises(InputError, match=r"a\.tif: label value -1 at row 0, column 0"):
        IdLabels((0, 1)).read(tmp_path / "a.tif")
    mask = IdLabels((0, 1), (-1,)).read(tmp_path / "a.tif")
    np.testing.assert_array_equal(mask, [[255, 255], [1, 1]])
