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
    to_labels_and_masks,
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


SCORES = torch.rand(2, 3, 4, 5)


@pytest.mark.parametrize(
    "mask", [MASK[:, None], MASK.float(), MASK.byte(), MASK.bool(), MASK[:, None].int()]
)
def test_ground_truth_of_any_type_with_whole_numbers_is_taken(mask):
    _, masks = to_labels_and_masks(SCORES, mask, 3, 255)
    assert masks.dtype == torch.int64
    assert torch.equal(masks, MASK)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(2, 3, 4, 5), "one-hot or multi-label"),
        (torch.full((2, 4, 5), 0.5), "holds fractions"),
        (torch.zeros(2, 8, 10).long(), "set resize=True"),
    ],
)
def test_other_ground_truth_is_named(mask, message):
    with pytest.raises(InputError, match=message):
        to_labels_and_masks(SCORES, mask, 3, 255)


def test_labels_are_resized_by_nearest_neighbour():
    labels = torch.tensor([[[0, 2]]])
    resized, _ = to_labels_and_masks(labels, torch.zeros(1, 2, 4), 3, 255, resize=True)
    assert resized.tolist() == [[[0, 0, 2, 2], [0, 0, 2, 2]]]
