from types import SimpleNamespace

import pytest
import torch

from lightning_seg.callbacks.batches import (
    describe,
    find_image,
    find_names,
    find_target,
    lookup,
    to_labels,
)
from lightning_seg.errors import InputError

IMAGE, MASK = torch.rand(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)


@pytest.mark.parametrize(
    "batch",
    [
        (IMAGE, MASK),
        [IMAGE, MASK, ["a", "b"]],
        {"image": IMAGE, "mask": MASK},
        {"pixel_values": IMAGE, "labels": MASK},
        {"x": IMAGE, "label": torch.tensor([0, 1]), "y": MASK},
        (IMAGE, {"masks": MASK}),
        SimpleNamespace(img=IMAGE, gt=MASK),
    ],
)
def test_image_and_ground_truth_are_found_in_many_kinds_of_batch(batch):
    assert find_image(batch) is IMAGE
    assert find_target(batch) is MASK


@pytest.mark.parametrize("batch", [IMAGE, (IMAGE,), {"image": IMAGE}, (IMAGE, torch.ones(2)), None])
def test_no_ground_truth_is_invented(batch):
    assert find_target(batch) is None


def test_dotted_keys_look_up_nested_values():
    assert lookup({"a": SimpleNamespace(b={"c": 3})}, "a.b.c") == 3
    assert lookup({"a": 1}, "a.b") is None


def test_names_are_used_only_if_every_sample_has_one():
    assert find_names(2, {"name": None}, {"filename": ["a", "b"]}) == ["a", "b"]
    assert find_names(2, None, {"id": torch.tensor([7, 9])}) == ["7", "9"]
    assert find_names(2, {"name": ["a"]}, (IMAGE, MASK)) is None


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (torch.rand(1, 5, 2, 2), r"\(1, 5, 2, 2\), expected scores \(B, 3, H, W\)"),
        (torch.rand(1, 2, 2), "expected scores"),
        (torch.full((1, 2, 2), 3), "range from 3 to 3, expected 0 to 2"),
    ],
)
def test_predictions_with_a_wrong_number_of_classes_are_refused(pred, message):
    with pytest.raises(InputError, match=message):
        to_labels(pred, 3)


def test_the_description_names_keys_and_shapes():
    text = describe(({"image": IMAGE}, MASK, None))
    assert text == "a tuple of (a dict with the keys 'image', a tensor (2, 4, 5), None)"
