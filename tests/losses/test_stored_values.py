"""Stored values of whole methods and of the maps that losses compare; which are not compared, why.

The losses' own values are compared in their own tests.
"""

import json
import re

import pytest
import reference_values
import torch

from lightning_seg.losses import SobelLoss, anisotropic_convolution, cross_entropy, map_l1
from lightning_seg.metrics import BoundaryIoU
from lightning_seg.targets import SignedDistance, semantic_edges

VOID = 255
COMPARED = (
    r"ce|nll\|.*|focal\|.*|dice\|.*|iou\|.*|combo\|.*|dice_focal\|.*|smp_(dice|jaccard)\|.*"
    r"|tanimoto\|.*|dice_family_loss\|.*|gul\|.*|kervadec\|.*|point\|.*|line\|.*"
    r"|sobel\|.*|sdt_(l1|total|target_mean_valid)\|.*|edge_map_fraction_valid"
    r"|aniso_(mean|sumsq)\|.*|boundary_iou_b0\|.*"
)
NOT_COMPARED = {
    r"semeda(_term\d)?\|.*": "the weights of the edge network that they come from are not stored",
    r"line_authors\|.*": "the authors' code gives pixels off the lines a potential; ours does not",
}


def test_every_stored_value_is_compared_or_said_not_to_be():
    if not reference_values._VALUES.exists():
        pytest.skip(f"no reference values in {reference_values._VALUES}")
    cases = json.loads(reference_values._VALUES.read_text())["cases"].values()
    keys = {key for case in cases for key in case["values"]}
    known = "|".join([COMPARED, *NOT_COMPARED])
    assert [key for key in sorted(keys) if not re.fullmatch(known, key)] == []


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
    found = map_l1(distance, target, mask, weights)
    assert found.item() == pytest.approx(stored, rel=1e-8)


@pytest.mark.parametrize("weight", [0.5, 1, 2])
def test_the_sum_of_cross_entropy_and_signed_distance_regression(reference_case, weight):
    mask, distance = reference_case.mask, reference_case.maps["raw"].clamp(-1, 1)
    target = SignedDistance(10, "background")(mask, reference_case.num_classes)
    found = cross_entropy(reference_case.logits, mask) + weight * map_l1(distance, target, mask)
    stored = reference_case.value(f"sdt_total|clip=10,void=background,lambda={weight}")
    assert found.item() == pytest.approx(stored, rel=1e-8)


def test_edges_of_the_8_neighbour_rule(reference_case):
    mask = reference_case.mask
    edges, valid = semantic_edges(mask), mask != VOID
    assert torch.equal(edges[valid], reference_case.maps["edge_map"][valid] == 1)
    share = (edges & valid).sum() / valid.sum().double()
    assert share.item() == pytest.approx(reference_case.value("edge_map_fraction_valid"), rel=1e-12)


def test_the_mean_form_of_sobel_is_that_of_the_sum_over_maps(reference_case):
    found = SobelLoss(weight=1.0)(reference_case.logits, reference_case.mask)
    stored = reference_case.value("sobel|lambda=1,reduction=mean")
    assert found.item() / (2 * reference_case.num_classes) == pytest.approx(stored, rel=1e-10)


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
    found = metric(reference_case.logits, reference_case.mask)
    for label in range(classes):
        stored = reference_case.value(f"boundary_iou_b0|class={label},dilation_ratio={ratio}")
        assert found[label].item() == pytest.approx(stored, rel=1e-6)
