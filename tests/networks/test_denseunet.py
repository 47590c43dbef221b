import pytest
from network_contract import NetworkContract

from lightning_seg.networks import DenseUNet


class TestDenseUNet(NetworkContract):
    def make(self, in_channels, encoder="test_resnet", **options):
        return DenseUNet(in_channels, encoder, growth=8, layers=[2, 2, 2, 2, 2], **options)


@pytest.mark.slow
class TestDenseUNetOverDenseNet(NetworkContract):
    def make(self, in_channels, encoder="densenet121", **options):
        return DenseUNet(in_channels, encoder, growth=4, layers=[2, 2, 2, 2, 2], **options)


def test_blocks_pass_on_their_new_features_and_the_last_one_all():
    network = DenseUNet(3, "test_resnet", growth=4, layers=[5, 4, 3, 2, 1])
    assert [len(step.layers) for step in network.steps] == [5, 4, 3, 2, 1]
    assert [step.up.in_channels for step in network.steps] == [96, 20, 16, 12, 8]
    assert network.out_channels == 4 + 4  # doubled from the step before, and added


def test_a_wrong_number_of_blocks_names_the_right_one():
    with pytest.raises(ValueError, match=r"gives 4 blocks.*halves the image 5 times"):
        DenseUNet(3, "test_resnet", layers=[1, 1, 1, 1])
