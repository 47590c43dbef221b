"""Values of each metric on degenerate images; docs/evaluation.md explains them."""

import math

import pytest
import torch

from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    SurfaceDistance,
    TrimapIoU,
)

VOID = 255
NAN = math.nan
KINDS = {
    "boundary_iou": lambda k: BoundaryIoU(k, width=1, ignore_index=VOID, average=None),
    "no_border": lambda k: BoundaryIoU(k, width=1, ignore_index=VOID, average=None, border=False),
    "band": lambda k: TrimapIoU(k, widths=[1], ignore_index=VOID, average=None),
    "interior": lambda k: TrimapIoU(
        k, widths=[1], region="interior", ignore_index=VOID, average=None
    ),
    "f": lambda k: BoundaryFMeasure(k, 1, ignore_index=VOID, void="removed", average=None),
    "pooled": lambda k: BoundaryFMeasure(
        k, 1, ignore_index=VOID, void="removed", pooled=True, average=None
    ),
    "e": lambda k: EMeasure(k, ignore_index=VOID, normalize="N", average=None),
    "distance": lambda k: SurfaceDistance(k, ignore_index=VOID, average=None),
}
A = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
EMPTY = [[0] * 3] * 3
# Prediction, truth, and the values of the two classes.
CASES = {
    "one pixel, right": (
        [[0]], [[0]],
        {
            "boundary_iou": [1, NAN], "no_border": [NAN, NAN], "band": [NAN, NAN],
            "interior": [1, NAN], "f": [NAN, NAN], "pooled": [NAN, NAN], "e": [1, NAN],
            "distance": [0, NAN],
        },
    ),
    "one pixel, wrong": (
        [[1]], [[0]],
        {
            "boundary_iou": [0, 0], "no_border": [NAN, NAN], "band": [NAN, NAN],
            "interior": [0, 0], "f": [NAN, NAN], "pooled": [NAN, NAN], "e": [0, 0],
            "distance": [math.sqrt(2)] * 2,
        },
    ),
    "all void": (A, [[VOID] * 3] * 3, {kind: [NAN, NAN] for kind in KINDS}),
    "one class everywhere, right": (
        EMPTY, EMPTY,
        {
            "boundary_iou": [1, NAN], "no_border": [NAN, NAN], "band": [NAN, NAN],
            "interior": [1, NAN], "f": [NAN, NAN], "pooled": [NAN, NAN], "e": [1, NAN],
            "distance": [0, NAN],
        },
    ),
    "a class that the prediction misses": (
        EMPTY, A,
        {
            # The band of class 0 is the ring of eight in both maps: the border bounds it too.
            "boundary_iou": [8 / 8, 0], "no_border": [0, 0], "band": [8 / 9, 0],
            "interior": [NAN, NAN], "f": [0, 0], "pooled": [0, 0],
            "distance": [0, math.sqrt(18)],
        },
    ),
    "a class that only the prediction has": (
        A, EMPTY,
        {
            "boundary_iou": [8 / 8, 0], "no_border": [0, 0], "band": [NAN, NAN],
            "interior": [8 / 9, 0], "f": [0, 0], "pooled": [0, 0], "e": [8 / 9, 8 / 9],
            "distance": [0, math.sqrt(18)],
        },
    ),
    "an object in the corner, right": (
        [[1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]],
        {kind: [1, 1] for kind in KINDS} | {"interior": [1, NAN], "distance": [0, 0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_values_of_degenerate_images(case, kind):
    pred, truth, expected = CASES[case]
    if kind not in expected:
        pytest.skip("nothing particular here")
    metric = KINDS[kind](2)
    metric.update(torch.tensor([pred]), torch.tensor([truth]))
    actual = metric.compute().flatten().tolist()
    steps = 2**-24 if kind == "distance" else 1e-12
    assert actual == pytest.approx(expected[kind], abs=steps, rel=0, nan_ok=True)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("kind", KINDS)
def test_without_images_the_value_is_nan(kind):
    assert KINDS[kind](2).compute().isnan().all()


@pytest.mark.parametrize(
    "laid_out",
    [
        lambda maps: maps.rot90(1, (1, 2)).rot90(-1, (1, 2)),
        lambda maps: maps.transpose(1, 2).contiguous().transpose(1, 2),
        lambda maps: maps.permute(1, 2, 0).contiguous().permute(2, 0, 1),
    ],
    ids=["turned", "columns first", "batch last"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_labels_in_memory_does_not_matter(kind, laid_out):
    pred, truth = torch.randint(3, (2, 2, 9, 12), generator=torch.Generator().manual_seed(0))
    usual, other = KINDS[kind](3), KINDS[kind](3)
    usual.update(pred, truth)
    other.update(laid_out(pred), laid_out(truth.to(torch.uint8)))
    torch.testing.assert_close(other.compute(), usual.compute(), rtol=0, atol=0, equal_nan=True)
