import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_seg.prediction.row_resizing import RowResizing


def resized_by_rows(maps, to, rows):
    resizing = RowResizing(tuple(maps.shape[-2:]), to)
    parts = []
    for start in range(0, maps.shape[1], rows):
        parts += resizing.add(maps[:, start : start + rows])
    return torch.cat(parts, dim=1), parts


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 12)),
    to=st.tuples(st.integers(1, 170), st.integers(1, 40)),
    rows=st.integers(1, 50),
)
def test_resizing_by_rows_equals_resizing_the_whole_map(size, to, rows):
    maps = torch.rand(3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = F.interpolate(maps[None], size=to, mode="bilinear", align_corners=False)[0]
    result, parts = resized_by_rows(maps, to, rows)
    torch.testing.assert_close(result, whole, rtol=0, atol=1e-12)
    assert all(part.shape[1] <= max(64, rows) for part in parts)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_few_rows_at_a_time_give_the_same(factor, rows):
    maps = torch.rand(1, 7, 3, dtype=torch.float64)
    to = (7 * factor, 3 * factor)
    whole = F.interpolate(maps[None], size=to, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(resized_by_rows(maps, to, rows)[0], whole, rtol=0, atol=1e-12)


def test_maps_of_the_right_size_are_unchanged_bit_for_bit():
    maps = torch.rand(2, 9, 7)
    assert torch.equal(resized_by_rows(maps, (9, 7), 4)[0], maps)


def test_rows_are_returned_as_soon_as_they_are_complete():
    resizing = RowResizing((100, 4), (200, 8))
    ready = sum(part.shape[1] for part in resizing.add(torch.rand(1, 50, 4)))
    assert ready == 99  # the hundredth lies partly on the next row


def test_half_precision_is_kept():
    assert resized_by_rows(torch.rand(2, 6, 6).half(), (12, 12), 3)[0].dtype == torch.float16
