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


def test_class_weights_count_pixels_by_their_true_class(maps):
    prediction, target, mask = (x.numpy() for x in maps)
    weights, total, weight = [1.0, 0.0, 3.0], 0.0, 0.0
    for b, y, x in zip(*np.nonzero(mask != 255)):
        own = weights[mask[b, y, x]]
        total += own * np.mean([abs(prediction[b, c, y, x] - target[b, c, y, x]) for c in range(3)])
        weight += own
    loss = MapL1Loss(class_weights=weights).double()
    assert loss(*maps).item() == pytest.approx(total / weight, rel=1e-12)


def test_pixel_weights_move_the_best_constant_and_channel_weights_do_not():
    """A class on a tenth of the pixels: the best constant is -1 unless its pixels are weighted."""
    mask = torch.zeros(1, 1, 10, dtype=torch.long)
    mask[..., 0] = 1
    target = torch.where(mask == 1, 1.0, -1.0).unsqueeze(1) * torch.tensor([-1.0, 1.0]).view(
        1, 2, 1, 1
    )
    for weigh, slope in (("pixels", -1), ("channels", 1)):
        loss = MapL1Loss([1.0, 20.0], weigh=weigh)
        level = torch.zeros((), requires_grad=True)
        prediction = torch.stack([-level, level]).view(1, 2, 1, 1).expand(target.shape)
        loss(prediction, target, mask).backward()
        assert level.grad.sign() == slope


def test_zero_weights_give_zero_and_a_zero_gradient():
    prediction = torch.randn(1, 2, 4, 5, requires_grad=True)
    loss = MapL1Loss([0.0, 1.0])(prediction, torch.zeros(1, 2, 4, 5), torch.zeros(1, 4, 5).long())
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_a_loss_pickled_without_the_weigh_option_keeps_its_value(maps):
    old = MapL1Loss([1.0, 0.0, 3.0])
    del old.__dict__["weigh"]
    assert old(*maps) == MapL1Loss([1.0, 0.0, 3.0], weigh="channels")(*maps)


def test_an_unknown_weighting_is_refused(maps):
    message = "weigh is 'images', expected one of: 'pixels', 'channels'"
    with pytest.raises(ValueError, match=message):
        MapL1Loss(weigh="images")
    with pytest.raises(ValueError, match=message):
        map_l1(*maps, weigh="images")


def test_class_weights_average_the_channels(maps):
    prediction, target, mask = (x.numpy() for x in maps)
    valid = mask != 255
    channel = [np.abs(prediction - target)[:, c][valid].mean() for c in range(3)]
    expected = (1 * channel[0] + 3 * channel[2]) / 4
    loss = MapL1Loss(class_weights=[1.0, 0.0, 3.0], weigh="channels").double()
    assert loss(*maps).item() == pytest.approx(expected, rel=1e-12)


def test_equal_maps_give_zero(maps):
    prediction, _, mask = maps
    assert map_l1(prediction, prediction, mask) == 0


def test_a_batch_of_void_gives_zero_and_a_zero_gradient():
    prediction = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss = map_l1(prediction, torch.full((1, 3, 4, 5), torch.nan), torch.full((1, 4, 5), 255))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_half_precision_is_computed_in_float32(maps):
    prediction, target, mask = maps
    assert map_l1(prediction.bfloat16(), target.float(), mask).dtype == torch.float32


@pytest.mark.parametrize(("target", "mask"), [((2, 1, 6, 6), (2, 6, 6)), ((2, 4, 6, 6), (1, 6, 6))])
def test_shapes_that_would_broadcast_to_a_wrong_value_are_refused(target, mask):
    with pytest.raises(ValueError, match=r"expected \(B, C, H, W\) twice"):
        map_l1(torch.rand(2, 4, 6, 6), torch.rand(target), torch.zeros(mask, dtype=torch.int64))


def test_masks_may_be_of_any_integer_type_and_have_a_channel(maps):
    prediction, target, mask = maps
    expected = map_l1(prediction, target, mask, torch.tensor([1.0, 2.0, 0.5]))
    actual = map_l1(prediction, target, mask.byte()[:, None], torch.tensor([1.0, 2.0, 0.5]))
    assert actual == expected


def test_masks_of_floating_point_are_refused(maps):
    prediction, target, mask = maps
    with pytest.raises(ValueError, match=r"the mask is torch\.float32, expected integers"):
        map_l1(prediction, target, mask.float())


@pytest.mark.parametrize("weigh", ["pixels", "channels"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0]])
def test_never_syncs_with_the_device(weights, weigh):
    def inputs(device):
        mask = torch.empty(2, 9, 7, device=device, dtype=torch.long)
        return *(torch.empty(2, 3, 9, 7, device=device) for _ in range(2)), mask

    check_never_waits(lambda: MapL1Loss(weights, weigh), inputs)


@pytest.mark.parametrize("weigh", ["pixels", "channels"])
@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 3.0]])
def test_gradient_is_the_derivative(maps, weights, weigh):
    prediction, target, mask = maps
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: map_l1(x, target, mask, weights, weigh), prediction.requires_grad_()
    )


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 3.0])])
def test_void_pixels_change_neither_value_nor_gradient(maps, weights):
    prediction, target, mask = maps
    void = (mask == 255).unsqueeze(1)
    elsewhere = torch.where(void, torch.inf, prediction)
    unknown = torch.where(void, torch.nan, target)
    actual = []
    for maps_there in ((prediction, target), (elsewhere, unknown)):
        x = maps_there[0].clone().requires_grad_()
        value = map_l1(x, maps_there[1], mask, weights)
        actual.append((value, *torch.autograd.grad(value, x)))
    torch.testing.assert_close(*actual, rtol=0, atol=0)
    assert not actual[0][1][void.expand_as(prediction)].any()


def test_the_memory_layout_does_not_matter(maps):
    prediction, target, mask = maps
    actual = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = prediction.contiguous(memory_format=layout).requires_grad_()
        value = map_l1(x, target, mask)
        (gradient,) = torch.autograd.grad(value, x)
        assert gradient.is_contiguous(memory_format=layout)
        actual.append((value, gradient))
    torch.testing.assert_close(*actual)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0]])
def test_compiles_to_one_graph(maps, weights):
    torch._dynamo.reset()
    compiled = torch.compile(MapL1Loss(weights), fullgraph=True, backend="aot_eager")
    prediction, target, mask = maps
    actual = []
    for loss in (MapL1Loss(weights), compiled):
        x = prediction.clone().requires_grad_()
        value = loss(x, target, mask)
        actual.append((value, *torch.autograd.grad(value, x)))
    torch.testing.assert_close(*actual)
