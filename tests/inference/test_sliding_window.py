import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_seg.inference import SlidingWindow


def identity(image):
    return {"image": image, "twice": 2 * image}


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    window=st.tuples(st.integers(5, 24), st.integers(5, 24)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    batch_size=st.integers(1, 5),
    padding=st.sampled_from([0, 3, 30]),
    weighting=st.sampled_from(["uniform", "gaussian"]),
)
def test_an_identity_network_returns_the_image_bit_for_bit(
    height, width, window, overlap, batch_size, padding, weighting
):
    image = torch.rand(2, 3, height, width)
    sliding = SlidingWindow(window, overlap, batch_size, padding, weighting)
    stitched = sliding(identity, image)
    assert torch.equal(stitched["image"], image)
    assert torch.equal(stitched["twice"], 2 * image)


def test_images_are_padded_by_reflection():
    shown = []

    def record(image):
        shown.append(image[0, 0, 0].tolist())
        return {"image": image}

    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    SlidingWindow((1, 9), padding=3)(record, row.expand(1, 1, 1, 3))
    assert shown[0] == [2, 3, 2, 1, 2, 3, 2, 1, 2]


def test_gaussian_weights_prefer_the_middle_of_a_window():
    calls = iter(range(100))

    def numbered(image):
        return {"n": torch.full_like(image[:, :1], next(calls))}

    sliding = SlidingWindow((1, 8), 0.5, batch_size=1, weighting="gaussian")
    row = sliding(numbered, torch.rand(1, 3, 1, 12))["n"].flatten()
    assert (row[:-1] <= row[1:]).all()
    assert row[4] < 0.05
    assert row[7] > 0.95
    assert row[0] == 0


def test_windows_have_the_given_size_and_batches_are_bounded():
    shapes = []

    def record(image):
        shapes.append(tuple(image.shape))
        return {"image": image}

    SlidingWindow((8, 6), 0.5, batch_size=4)(record, torch.rand(1, 3, 21, 13))
    assert {shape[1:] for shape in shapes} == {(3, 8, 6)}
    assert all(shape[0] <= 4 for shape in shapes)


def test_overlapping_windows_are_averaged():
    calls = iter(range(100))

    def numbered(image):
        return {"n": torch.full_like(image[:, :1], next(calls))}

    stitched = SlidingWindow((1, 4), 0.5, batch_size=1)(numbered, torch.rand(1, 3, 1, 6))
    assert stitched["n"].flatten().tolist() == [0, 0, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (0, 4)},
        {"size": (4, 4), "overlap": 1.0},
        {"size": (4, 4), "batch_size": 0},
        {"size": (4, 4), "padding": -1},
        {"size": (4, 4), "weighting": "cosine"},
    ],
)
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=list(arguments)[-1]):
        SlidingWindow(**arguments)
