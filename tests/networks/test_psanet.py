import pytest
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import PSANet
from lightning_seg.networks.psanet import between_positions


class TestPSANet(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return PSANet(in_channels, encoder, channels=24, mask_size=9, **options)


@pytest.mark.parametrize("mask_size", [7, 3])
def test_scores_of_relative_positions_become_scores_of_absolute_positions(mask_size):
    scores = torch.randn(2, mask_size**2, 3, 4)
    actual = between_positions(scores, mask_size).view(2, 3, 4, 3, 4)
    reach = mask_size // 2
    for i in range(3):
        for j in range(4):
            for p in range(3):
                for q in range(4):
                    down, right = i - p, j - q
                    if max(abs(down), abs(right)) > reach:
                        assert (actual[:, i, j, p, q] == float("-inf")).all()
                        continue
                    channel = (down + reach) * mask_size + right + reach
                    assert torch.equal(actual[:, i, j, p, q], scores[:, channel, p, q])


def test_attention_sums_to_one_at_each_position():
    """Collecting sums over the attended positions, distributing over the attending ones."""
    network = PSANet(3, "test_resnet", channels=8, mask_size=31).eval()
    x = torch.randn(1, 96, 6, 8)
    for branch in (network.collect, network.distribute):
        with torch.no_grad():
            ones = torch.ones_like(branch.reduce(x))
            branch.reduce = torch.nn.Identity()
            branch.scores[0] = torch.nn.Identity()
            torch.testing.assert_close(branch(ones, shrink=2), ones[..., :3, :4])


def test_an_even_mask_size_suggests_the_nearest_odd_ones():
    with pytest.raises(InputError, match=r"mask_size is 60.*choose 59 or 61"):
        PSANet(3, "test_resnet", mask_size=60)


@pytest.mark.parametrize(
    ("crop_size", "options", "mask_size"),
    [(465, {}, 59), (473, {}, 59), (713, {}, 89), (256, {}, 31), (97, {"shrink": 1}, 25)],
)
def test_the_mask_covers_the_whole_crop(crop_size, options, mask_size):
    network = PSANet(3, "test_resnet", channels=8, crop_size=crop_size, **options)
    assert network.collect.mask_size == network.distribute.mask_size == mask_size


def test_in_a_crop_every_position_reaches_every_other_and_every_score_is_used():
    network = PSANet(3, "test_resnet", channels=4, crop_size=97)
    seen = []
    network.collect.scores.register_forward_hook(lambda _m, _i, scores: seen.append(scores))
    network.eval()
    with torch.no_grad():
        network(torch.rand(1, 3, 97, 97))
    scores = between_positions(torch.ones_like(seen[0]), network.collect.mask_size)
    assert scores.isfinite().all()
    assert network.collect.mask_size == 2 * seen[0].shape[-1] - 1


def test_the_default_crop_is_that_of_the_paper():
    assert PSANet(3, "test_resnet", channels=4).collect.mask_size == 59


def test_a_crop_without_pixels_is_refused():
    with pytest.raises(InputError, match="crop_size is 0, but must be at least 1"):
        PSANet(3, "test_resnet", crop_size=0)
