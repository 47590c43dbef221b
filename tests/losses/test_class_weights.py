import pytest
import torch

from lightning_seg.errors import InputError
from lightning_seg.losses import (
    ClassWeights,
    CrossEntropyLoss,
    MapL1Loss,
    cross_entropy,
    map_l1,
)


def test_numbers_are_the_weights():
    assert ClassWeights([0.5, 0.0, 2.0])(3).tolist() == [0.5, 0.0, 2.0]


def test_none_is_equal_weights():
    assert ClassWeights(None)(7) is None


def test_a_balance_cannot_be_used_before_it_is_resolved():
    weights = ClassWeights("median_frequency")
    with pytest.raises(InputError, match=r"'median_frequency', whose weights are not known yet"):
        weights(2)
    weights.resolve([1.0, 3.0])
    assert weights(2).tolist() == [1.0, 3.0]


def test_a_wrong_number_of_weights_names_both_numbers():
    with pytest.raises(InputError, match=r"holds 2 weights, but there are 3 classes"):
        MapL1Loss(class_weights=[1.0, 2.0])(*torch.rand(2, 1, 3, 4, 4), torch.zeros(1, 4, 4).long())


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [float("nan"), 1.0], [0.0, 0.0], []])
def test_invalid_weights_are_refused(weights):
    with pytest.raises(ValueError, match="numbers of 0 or more, and one above 0"):
        ClassWeights(weights)


def test_an_unknown_balance_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'median'.*median_frequency, inverse_frequency"):
        ClassWeights("median")


def test_a_state_dict_needs_no_weights():
    assert MapL1Loss(class_weights=[1.0, 2.0]).state_dict() == {}


def test_a_resolved_balance_acts_like_its_weights():
    prediction, target = torch.rand(2, 2, 3, 4, 4)
    mask = torch.zeros(2, 4, 4, dtype=torch.int64)
    loss = MapL1Loss(class_weights="inverse_frequency")
    loss.class_weights.resolve([1.0, 0.0, 3.0])
    weights = torch.tensor([1.0, 0.0, 3.0])
    assert loss(prediction, target, mask) == map_l1(prediction, target, mask, weights)


def test_half_precision_does_not_round_the_weights():
    weights = ClassWeights([1 / 3, 2.0])
    for cast in ("half", "bfloat16", "float"):
        assert torch.equal(getattr(weights, cast)()(2), torch.tensor([1 / 3, 2.0]))


def test_double_precision_keeps_the_given_weights_exactly():
    assert ClassWeights([1 / 3, 2.0]).half().double()(2).tolist() == [1 / 3, 2.0]


def test_weights_follow_the_module_to_a_device():
    assert ClassWeights([1 / 3, 2.0]).to("meta")(2).is_meta


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 1)])
def test_tensors_without_one_weight_per_class_are_refused(shape):
    maps, mask = torch.rand(2, 1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    message = r"class_weights has the shape .*, expected \(3,\)"
    with pytest.raises(ValueError, match=message):
        map_l1(*maps, mask, torch.ones(shape))
    with pytest.raises(ValueError, match=message):
        cross_entropy(maps[0], mask, torch.ones(shape))


@pytest.mark.parametrize("loss", [CrossEntropyLoss([1.0, 2.0]), MapL1Loss([1.0, 2.0])])
def test_losses_refuse_wrong_channel_counts_before_data_is_read(loss):
    loss.check_channels(2)
    with pytest.raises(InputError, match="holds 2 weights, but there are 3 classes"):
        loss.check_channels(3)
