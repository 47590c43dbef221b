"""Edges by the 8-neighbour rule."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lightning_seg.targets import semantic_edges

VOID = 255


def edges_of(*rows):
    return semantic_edges(torch.tensor([rows]))[0].int().tolist()


def by_definition(labels):
    edges = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(labels.shape):
        around = labels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        differs = (around != labels[y, x]) & (around != VOID)
        edges[y, x] = labels[y, x] != VOID and differs.any()
    return edges


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.int64,
        array_shapes(min_dims=3, max_dims=3, max_side=7),
        elements=st.sampled_from([0, 1, 18, VOID]),
    )
)
def test_follows_the_definition_pixel_by_pixel(labels):
    expected = np.stack([by_definition(image) for image in labels])
    np.testing.assert_array_equal(semantic_edges(torch.from_numpy(labels)), expected)


def test_edges_are_two_pixels_wide_one_on_each_side():
    assert edges_of([0, 0, 0, 1, 1, 1]) == [[0, 0, 1, 1, 0, 0]]


def test_a_diagonal_neighbour_makes_an_edge():
    assert edges_of([0, 0, 0], [0, 0, 0], [0, 0, 1]) == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_the_image_border_makes_no_edge():
    assert edges_of([3, 3], [3, 3]) == [[0, 0], [0, 0]]


def test_void_creates_no_edge_and_is_never_an_edge():
    assert edges_of([0, 0, VOID, 1, 1]) == [[0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("dtype", "void"), [(torch.uint8, 255), (torch.int32, -1)])
def test_labels_can_have_any_integer_dtype_and_ignore_index_any_value(dtype, void):
    mask = torch.tensor([[[0, void, 1, 0]]]).to(dtype)
    assert semantic_edges(mask, void).tolist() == [[[False, False, True, True]]]


def test_edges_are_bool_per_pixel():
    edges = semantic_edges(torch.zeros(2, 4, 5, dtype=torch.int64))
    assert (edges.shape, edges.dtype) == ((2, 4, 5), torch.bool)


def test_equals_the_reference_maps(reference_folder):
    maps = np.load(reference_folder / "losses_cases.npz")
    for case in ("blocks_k3", "void_k3", "thin_k2"):
        edges = semantic_edges(torch.from_numpy(maps[f"{case}/labels"]))
        np.testing.assert_array_equal(edges, maps[f"{case}/edge_map"])
