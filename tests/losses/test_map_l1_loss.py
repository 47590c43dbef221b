import numpy as np
import pytest
import torch
from device_checks import check_never_waits

from lightning_seg.losses import MapL1Loss, map_l1


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 2, 3, 8, 5, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, 3, (2, 8, 5), generator=generator)
    mask[1, 4:] = 255
    return prediction, target, mask


def test_is_the_mean_over_valid_pixels_and_channels(maps):
    prediction, target, mask = (x.numpy() for x in maps)
    errors = [
        abs(prediction[b, c, y, x] - target[b, c, y, x])
        for b, y, x in zip(*np.nonzero(mask != 255))
        for c in range(3)
    ]
    assert map_l1(*maps).item() == pytest.approx(np.mean(errors), rel=1e-12)


def test_class_weights_average_the_channels(maps):
    prediction, target, mask = (x.numpy() for x in maps)
    valid = mask != 255
    channel = [np.abs(prediction - target)[:, c][valid].mean() for c in range(3)]
    expected = (1 * channel[0] + 3 * channel[2]) / 4
    loss = MapL1Loss(class_weights=[1.0, 0.0, 3.0]).double()
    assert loss(*maps).item() == pytest.approx(expected, rel=1e-12)


def test_is_zero_for_equal_maps(maps):
    prediction, _, mask = maps
    assert map_l1(prediction, prediction, mask) == 0


def test_a_batch_of_void_gives_zero_and_a_zero_gradient():
    prediction = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss = map_l1(prediction, torch.full((1, 3, 4, 5), torch.nan), torch.full((1, 4, 5), 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_half_precision_is_computed_in_single(maps):
    prediction, target, mask = maps
    assert map_l1(prediction.bfloat16(), target.float(), mask).dtype == torch.float32


@pytest.mark.parametrize(("target", "mask"), [((2, 1, 6, 6), (2, 6, 6)), ((2, 4, 6, 6), (1, 6, 6))])
def test_shapes_that_would_broadcast_to_a_wrong_value_are_refused(target, mask):
    with pytest.raises(ValueError, match=r"expected \(B, C, H, W\) twice"):
        map_l1(torch.rand(2, 4, 6, 6), torch.rand(target), torch.zeros(mask, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_masks_of_other_types_are_refused(maps, dtype):
    prediction, target, mask = maps
    with pytest.raises(ValueError, match=rf"the mask is {dtype}, expected torch\.int64"):
        map_l1(prediction, target, mask.to(dtype))


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0]])
def test_waits_for_no_device(weights):
    def inputs(device):
        mask = torch.empty(2, 9, 7, device=device, dtype=torch.long)
        return *(torch.empty(2, 3, 9, 7, device=device) for _ in range(2)), mask

    check_never_waits(lambda: MapL1Loss(weights), inputs)
