"""Stored values of complete methods and maps, and the reasons for values that are not compared.

The losses' own values are compared in their own tests.
"""

import inspect
import re
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest
import reference_values
import torch
from reference_values import CASES, ReferenceCase

from lightning_seg.losses import anisotropic_convolution, cross_entropy, map_l1
from lightning_seg.metrics import BoundaryIoU
from lightning_seg.targets import SignedDistance, semantic_edges

VOID = 255
NOT_COMPARED = {
    r"semeda(_term\d)?\|.*": "the weights of the edge network that they come from are not stored",
    r"line_authors\|.*": "the authors' code gives pixels off the lines a potential; ours does not",
}


class Listing(ReferenceCase):
    """Records which values a test compares, without comparing them."""

    def __init__(self, case):
        super().__init__(**vars(case))
        self.compared = set()

    def value(self, key):
        value = super().value(key)
        self.compared.add(key)
        return value

    def check(self, key, loss, rel=1e-10):
        self.value(key)

    def check_single_precision(self, key, loss):
        pass


def comparisons():
    """Yield every test in this folder with a ``reference_case``, with its other arguments."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name, test in vars(import_module(path.stem)).items():
            if name.startswith("test") and "reference_case" in inspect.signature(test).parameters:
                for arguments in product(*map(each_set, getattr(test, "pytestmark", []))):
                    yield partial(test, **{k: v for given in arguments for k, v in given.items()})


def each_set(mark):
    """Yield the arguments of a ``parametrize`` mark as dicts."""
    assert mark.name == "parametrize"
    names, sets = mark.args
    if isinstance(names, str):
        return [{names: value} for value in sets]
    return [dict(zip(names, values, strict=True)) for values in sets]


@pytest.mark.parametrize("name", CASES)
def test_every_stored_value_is_compared_or_listed_as_not_compared(name):
    case = Listing(reference_values.reference_case(name))
    for test in comparisons():
        with suppress(pytest.skip.Exception):  # another case stores the value
            test(reference_case=case)
    left = [
        key
        for key in sorted(set(case.values) - case.compared)
        if not re.fullmatch("|".join(NOT_COMPARED), key)
    ]
    assert left == []
    assert set(case.directional_derivatives) <= set(case.values)


@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("clip", [5, 10])
def test_signed_distance_regression(reference_case, clip, void):
    mask, distance = reference_case.mask, reference_case.maps["raw"].clamp(-1, 1)
    target = SignedDistance(clip, void)(mask, reference_case.num_classes)
    valid = (mask != VOID).unsqueeze(1)
    # Distances are float32.
    mean = (target * valid).double().sum() / (valid.sum() * reference_case.num_classes)
    stored = reference_case.value(f"sdt_target_mean_valid|clip={clip},void={void}")
    assert mean.item() == pytest.approx(stored, abs=1e-7)
    stored = reference_case.value(f"sdt_l1|clip={clip},void={void}")
    assert map_l1(distance, target, mask).item() == pytest.approx(stored, rel=1e-8)


def test_signed_distance_regression_with_class_weights(reference_case):
    mask, distance = reference_case.mask, reference_case.maps["raw"].clamp(-1, 1)
    target = SignedDistance(10, "background")(mask, reference_case.num_classes)
    weights = torch.tensor(reference_case.median_frequency_weights, dtype=torch.float64)
    stored = reference_case.value("sdt_l1|clip=10,void=background,class_weights=median_frequency")
    actual = map_l1(distance, target, mask, weights, weigh="channels")
    assert actual.item() == pytest.approx(stored, rel=1e-8)


@pytest.mark.parametrize("weight", [0.5, 1, 2])
def test_the_sum_of_cross_entropy_and_signed_distance_regression(reference_case, weight):
    mask, distance = reference_case.mask, reference_case.maps["raw"].clamp(-1, 1)
    target = SignedDistance(10, "background")(mask, reference_case.num_classes)
    actual = cross_entropy(reference_case.logits, mask) + weight * map_l1(distance, target, mask)
    stored = reference_case.value(f"sdt_total|clip=10,void=background,lambda={weight}")
    assert actual.item() == pytest.approx(stored, rel=1e-8)


def test_edges_of_the_8_neighbour_rule(reference_case):
    mask = reference_case.mask
    edges, valid = semantic_edges(mask), mask != VOID
    assert torch.equal(edges[valid], reference_case.maps["edge_map"][valid] == 1)
    share = (edges & valid).sum() / valid.sum().double()
    assert share.item() == pytest.approx(reference_case.value("edge_map_fraction_valid"), rel=1e-12)


@pytest.mark.parametrize(
    ("padding", "stored_as"), [("replicate", "edge"), ("constant", "constant")]
)
@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("splitter", ["A", "B", "C"])
def test_potentials(reference_case, splitter, size, padding, stored_as):
    void = (reference_case.mask == VOID).unsqueeze(1)
    maps = reference_case.maps["probs"].masked_fill(void, 0)
    potential = anisotropic_convolution(maps, size, splitter, padding)
    key = f"splitter={splitter},w={size},pad={stored_as}"
    mean, squares = (reference_case.value(f"aniso_{name}|{key}") for name in ("mean", "sumsq"))
    assert potential.mean().item() == pytest.approx(mean, rel=1e-12)
    assert potential.square().sum().item() == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize("ratio", [0.02, 0.1])
def test_boundary_iou_of_the_logits(reference_case, ratio):
    classes = reference_case.num_classes
    metric = BoundaryIoU(classes, ratio, ignore_index=VOID, void="zeroed", average=None)
    actual = metric(reference_case.logits, reference_case.mask)
    for label in range(classes):
        stored = reference_case.value(f"boundary_iou_b0|class={label},dilation_ratio={ratio}")
        assert actual[label].item() == pytest.approx(stored, rel=1e-6)
