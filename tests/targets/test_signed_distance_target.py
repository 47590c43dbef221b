"""The target of signed-distance regression."""

import re

import pytest
import torch
import torch.nn.functional as F
from signed_distance_reference import VOID, patches

from lightning_seg.targets import SignedDistance, signed_distance


def mask(void=0.1):
    return torch.from_numpy(patches(0, 30, 40, 4, 9, void))[None]


def test_is_the_clipped_distance_over_its_clip():
    expected = signed_distance(mask(), 5, 7.5, void="background") / 7.5
    assert torch.equal(SignedDistance(clip=7.5, void="background")(mask(), 5), expected)


def test_values_lie_between_minus_one_and_one():
    target = SignedDistance()(mask(), 5)
    assert target.min() == -1
    assert target.max() <= 1


def test_with_a_clip_of_one_it_is_the_binary_mask():
    one_hot = F.one_hot(mask(void=0), 5).movedim(-1, 1)
    assert torch.equal(SignedDistance(clip=1.0)(mask(void=0), 5), 2.0 * one_hot - 1)


def test_ignore_index_can_be_any_label():
    target = SignedDistance(ignore_index=3)(mask(void=0), 5)
    assert torch.equal(
        target, SignedDistance()(mask(void=0).masked_fill(mask(void=0) == 3, VOID), 5)
    )


def test_it_compiles_inside_a_function():
    target = SignedDistance()
    compiled = torch.compile(lambda mask: target(mask, 5) * 2, fullgraph=True, backend="eager")
    assert torch.equal(compiled(mask()), target(mask(), 5) * 2)


def test_equal_parameters_have_equal_keys():
    assert SignedDistance(clip=10).key == SignedDistance().key


def test_each_parameter_changes_the_key():
    targets = [
        SignedDistance(),
        SignedDistance(clip=10.5),
        SignedDistance(void="background"),
        SignedDistance(ignore_index=0),
    ]
    assert len({target.key for target in targets}) == len(targets)


def test_its_key_contains_its_name_and_is_a_valid_file_name():
    key = SignedDistance(clip=10.0).key
    assert key.startswith("signed_distance-clip=10.0-void=ignore")
    assert re.fullmatch(r"[\w.=-]+", key)


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        SignedDistance().clip = 5.0


@pytest.mark.parametrize("clip", [0.0, -3.0, float("nan"), float("inf")])
def test_a_clip_that_is_not_positive_is_refused_at_construction(clip):
    with pytest.raises(ValueError, match="clip is"):
        SignedDistance(clip=clip)


def test_an_unknown_void_policy_is_refused_at_construction():
    with pytest.raises(ValueError, match="void is 'drop'"):
        SignedDistance(void="drop")
