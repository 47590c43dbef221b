import pytest
import timm
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import FuseNet


class TestFuseNet(NetworkContract):
    wrong_encoder = ("vgg16", "vgg16_bn")
    bfloat16_error = 0.6  # rounding moves maxima, and so where values go
    in_channels = 4
    other_channels = (5,)

    def make(self, in_channels, encoder="vgg13_bn", **options):
        return FuseNet(in_channels, encoder, width=8, dropout=0.1, **options)


def test_an_image_without_depth_is_refused():
    with pytest.raises(InputError, match=r"in_channels is 3.*SegNet"):
        FuseNet(3, "vgg11_bn", width=2)


def test_depth_affects_the_features():
    torch.manual_seed(0)
    network = FuseNet(4, "vgg11_bn", width=4).eval()
    image = torch.rand(1, 4, 32, 32)
    other = image.clone()
    other[:, 3] = image[:, 3].flip(-1)
    with torch.no_grad():
        assert not torch.equal(network(image)["decoder"], network(other)["decoder"])


@pytest.mark.slow  # timm builds all of VGG, its 100 million parameters after the last pooling too
def test_depth_weights_start_as_the_mean_of_rgb_weights(tmp_path):
    weights = timm.create_model("vgg11_bn").features.state_dict(prefix="features.")
    torch.save(weights, tmp_path / "vgg.pth")
    network = FuseNet(4, "vgg11_bn", weights=str(tmp_path / "vgg.pth"))
    first = weights["features.0.weight"]
    assert torch.equal(network.encoder[0][0].weight, first)
    mean = first.mean(dim=1, keepdim=True)
    torch.testing.assert_close(network.depth_encoder[0][0].weight.data, mean)
    later = network.encoder[3][3].weight
    assert torch.equal(network.depth_encoder[3][3].weight, later)


def test_weights_of_another_width_are_refused():
    with pytest.raises(InputError, match="width is 8; set width: 64"):
        FuseNet(4, "vgg11_bn", width=8, weights="vgg.pth")
