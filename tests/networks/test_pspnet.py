import pytest
import torch
import torch.nn.functional as F
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import PSPNet
from lightning_seg.networks.pspnet import bin_means


class TestPSPNet(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return PSPNet(in_channels, encoder, channels=24, **options)


class TestPSPNetOfAudebert(NetworkContract):
    """PSPNet at stride 32 with transposed convolutions."""

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return PSPNet(
            in_channels,
            encoder,
            output_stride=32,
            upsampling="transposed",
            channels=24,
            **options,
        )


@pytest.mark.parametrize("size", [(6, 6), (13, 20), (5, 31), (1, 2)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_means_in_bins_are_those_of_adaptive_pooling(size, bins):
    x = torch.rand(2, 4, *size)
    torch.testing.assert_close(bin_means(x, bins), F.adaptive_avg_pool2d(x, bins))


def test_it_has_as_many_parameters_as_the_public_code():
    """ResNet-50 by hand: 23,508,032, four 1 x 1 convolutions to 512, one 3 x 3 of 4096 to 512."""
    count = sum(p.numel() for p in PSPNet(3, "resnet50").parameters())
    pooling = 4 * (2048 * 512 + 2 * 512)
    assert count == 23_508_032 + pooling + 9 * 4096 * 512 + 2 * 512


def test_an_unknown_upsampling_lists_the_choices():
    with pytest.raises(InputError, match="'bilinear', 'transposed'"):
        PSPNet(3, "test_resnet", upsampling="nearest")
