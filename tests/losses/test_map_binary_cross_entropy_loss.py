import pytest
import torch
import torch.nn.functional as F
from device_checks import check_never_waits

from lightning_seg.losses import MapBinaryCrossEntropyLoss

VOID = 255


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(2, 1, 9, 7, generator=generator, dtype=torch.float64)
    target = (torch.rand(2, 1, 9, 7, generator=generator) < 0.2).double()
    mask = torch.randint(0, 3, (2, 9, 7), generator=generator)
    mask[0, :3] = VOID
    return prediction, target, mask


def test_unbalanced_it_is_the_binary_cross_entropy_of_valid_pixels(maps):
    prediction, target, mask = maps
    valid = mask.unsqueeze(1) != VOID
    expected = F.binary_cross_entropy(prediction[valid], target[valid])
    torch.testing.assert_close(MapBinaryCrossEntropyLoss(balanced=False)(*maps), expected)


def test_balanced_edges_and_other_pixels_count_equally(maps):
    prediction, target, mask = maps
    valid = mask.unsqueeze(1) != VOID
    p, t = prediction[valid], target[valid]
    share = t.mean()
    expected = share * (1 - share) * (-p[t == 1].log().mean() - (1 - p[t == 0]).log().mean())
    torch.testing.assert_close(MapBinaryCrossEntropyLoss()(*maps), expected)


@pytest.mark.parametrize("balanced", [True, False])
def test_probabilities_of_0_and_1_and_void_give_no_nan(balanced):
    prediction = torch.tensor([0.0, 1.0, 0.0, 1.0, float("nan")]).view(1, 1, 1, 5).requires_grad_()
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0]).view(1, 1, 1, 5)
    mask = torch.tensor([[[0, 1, 1, 0, VOID]]])
    loss = MapBinaryCrossEntropyLoss(balanced)(prediction, target, mask)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()


def test_a_batch_of_void_gives_0_and_no_gradient(maps):
    prediction, target, mask = maps
    prediction = prediction.clone().requires_grad_()
    loss = MapBinaryCrossEntropyLoss()(prediction, target, torch.full_like(mask, VOID))
    loss.backward()
    assert loss == 0
    assert prediction.grad.count_nonzero() == 0


def test_half_precision_is_promoted(maps):
    prediction, target, mask = maps
    loss = MapBinaryCrossEntropyLoss()(prediction.bfloat16(), target.bfloat16(), mask)
    assert loss.dtype == torch.float32


def test_maps_of_other_shapes_are_refused(maps):
    prediction, target, mask = maps
    with pytest.raises(ValueError, match="shape"):
        MapBinaryCrossEntropyLoss()(prediction, target[:, 0], mask)


def test_never_syncs_with_the_device():
    def inputs(device):
        mask = torch.empty(2, 9, 7, device=device, dtype=torch.long)
        return *(torch.empty(2, 1, 9, 7, device=device) for _ in range(2)), mask

    check_never_waits(MapBinaryCrossEntropyLoss, inputs)
