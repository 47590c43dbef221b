"""The distances that ResUNet-a regresses."""

import re

import cv2
import numpy as np
import pytest
import torch
from signed_distance_reference import VOID, patches

from lightning_seg.targets import PatchDistance


def by_opencv(labels, num_classes):
    """The authors' recipe: OpenCV's distance, rescaled to [0, 1]."""
    maps = []
    for k in range(num_classes):
        inside = cv2.distanceTransform((labels == k).astype(np.uint8), cv2.DIST_L2, 0)
        maps.append(cv2.normalize(inside, None, 0, 1, cv2.NORM_MINMAX))
    return np.stack(maps)


@pytest.mark.parametrize("seed", range(4))
def test_is_the_inner_distance_divided_by_its_maximum(seed):
    labels = patches(seed, 40, 50, 4, 9, 0.0)
    target = PatchDistance()(torch.from_numpy(labels)[None], 5)[0]
    np.testing.assert_allclose(target, by_opencv(labels, 5), atol=1e-6)


def test_follows_the_definition_on_a_line():
    mask = torch.tensor([[[0, 0, 1, 1, 1, 1, 0]]])
    target = PatchDistance()(mask, 2)[0, :, 0]
    assert target.tolist() == [[1, 0.5, 0, 0, 0, 0, 0.5], [0, 0, 0.5, 1, 1, 0.5, 0]]


def test_every_image_has_its_own_scale():
    small, large = torch.zeros(2, 1, 30, 30, dtype=torch.int64)
    small[:, 14:16, 14:16] = 1
    large[:, 5:25, 5:25] = 1
    target = PatchDistance()(torch.cat([small, large]), 2)
    assert target.amax(dim=(2, 3)).tolist() == [[1, 1], [1, 1]]


def test_a_class_that_fills_the_image_is_one_and_an_absent_one_zero():
    target = PatchDistance()(torch.ones(1, 6, 8, dtype=torch.int64), 3)[0]
    assert target.mean(dim=(1, 2)).tolist() == [0, 1, 0]


def test_a_class_that_fills_all_valid_pixels_is_one_there():
    mask = torch.ones(1, 6, 8, dtype=torch.int64)
    mask[:, :2] = VOID
    assert PatchDistance()(mask, 2)[0, 1, :, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_an_image_of_void_is_zero():
    assert PatchDistance()(torch.full((1, 4, 4), VOID), 2).abs().sum() == 0


@pytest.mark.parametrize(("void", "expected"), [("ignore", [1, 1, 0]), ("background", [1, 0.5, 0])])
def test_void_bounds_a_class_only_where_it_is_background(void, expected):
    mask = torch.tensor([[[0, 0, VOID]]])
    assert PatchDistance(void=void)(mask, 1)[0, 0, 0].tolist() == expected


def test_ignore_index_can_be_any_label():
    mask = torch.from_numpy(patches(0, 30, 40, 4, 9, 0.0))[None]
    expected = PatchDistance()(mask.masked_fill(mask == 3, VOID), 5)
    assert torch.equal(PatchDistance(ignore_index=3)(mask, 5), expected)


def test_each_parameter_changes_the_key():
    keys = [
        t.key for t in (PatchDistance(), PatchDistance("background"), PatchDistance("ignore", 0))
    ]
    assert len(set(keys)) == 3
    assert re.fullmatch(r"[\w.=-]+", keys[0])


def test_an_unknown_void_policy_is_refused_at_construction():
    with pytest.raises(ValueError, match="void is 'drop'"):
        PatchDistance(void="drop")
