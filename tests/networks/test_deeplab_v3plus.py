import pytest
import segmentation_models_pytorch as smp
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import DeepLabV3Plus


class TestDeepLabV3Plus(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return DeepLabV3Plus(in_channels, encoder, channels=24, low_level_channels=8, **options)


def test_it_has_the_size_of_segmentation_models_pytorch():
    with torch.device("meta"):
        theirs = smp.DeepLabV3Plus("resnet50", encoder_weights=None)
    network = DeepLabV3Plus(3, "resnet50", separable=True)
    head = sum(p.numel() for p in theirs.segmentation_head.parameters())
    expected = sum(p.numel() for p in theirs.parameters()) - head
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(("stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18])])
def test_rates_keep_their_reach_in_pixels(stride, rates):
    network = DeepLabV3Plus(3, "test_resnet", output_stride=stride)
    branches = list(network.atrous_pyramid.branches)[1:]
    assert [branch[0].dilation[0] for branch in branches] == rates


def test_an_encoder_that_does_not_dilate_names_its_stride():
    with pytest.raises(InputError, match=r"'densenet121' has no output_stride 16; it has 32"):
        DeepLabV3Plus(3, "densenet121")


def test_an_unknown_stride_names_those_there_are():
    with pytest.raises(InputError, match="no output_stride 12; it has 8, 16, 32"):
        DeepLabV3Plus(3, "test_resnet", output_stride=12)


def test_an_encoder_without_fine_maps_is_refused():
    with pytest.raises(InputError, match=r"maps at strides \[16, 16, 16\], but one at 4"):
        DeepLabV3Plus(3, "vit_tiny_patch16_224", output_stride=16)
