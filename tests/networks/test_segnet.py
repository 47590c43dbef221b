import pytest
import timm
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead, SignedDistanceHead
from lightning_seg.networks import SegNet


class TestSegNet(NetworkContract):
    wrong_encoder = ("vgg16", "vgg16_bn")
    bfloat16_error = 0.6  # rounding moves maxima, and so where values go

    def make(self, in_channels, encoder="vgg13_bn", **options):
        return SegNet(in_channels, encoder, width=8, **options)


@pytest.mark.parametrize(
    ("head", "classes", "count"),
    [
        (ClassificationHead, 6, 29_446_470),
        (SignedDistanceHead, 6, 29_450_256),
        (ClassificationHead, 11, 29_449_355),
        (SignedDistanceHead, 11, 29_456_791),
    ],
)
def test_it_has_as_many_parameters_as_in_the_paper(head, classes, count):
    with torch.device("meta"):
        modules = SegNet(3), head(64, classes)
    assert sum(p.numel() for module in modules for p in module.parameters()) == count


def test_unpooling_puts_values_where_the_maxima_were():
    network = SegNet(1, "vgg11_bn", width=2).eval()
    features = []
    network.encoder[0].register_forward_hook(lambda *args: features.append(args[-1]))
    network.decoder[-1].register_forward_pre_hook(lambda _, args: features.append(args[0]))
    with torch.no_grad():
        network(torch.rand(1, 1, 32, 32))
    encoded, restored = (f.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4) for f in features)
    nonzero = restored.abs().sum(dim=-1) > 0
    assert nonzero.any()
    assert torch.equal(encoded.argmax(-1)[nonzero], restored.abs().argmax(-1)[nonzero])
    assert (restored.count_nonzero(dim=-1) <= 1).all()


@pytest.mark.slow  # timm builds all of VGG, its 100 million parameters after the last pooling too
def test_timm_weights_fill_the_encoder(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("vgg11_bn").eval()
    torch.save(theirs.features.state_dict(prefix="features."), tmp_path / "vgg.pth")
    network = SegNet(3, "vgg11_bn", weights=str(tmp_path / "vgg.pth")).eval()
    x = torch.rand(1, 3, 32, 32)
    expected = x
    for layer in list(theirs.features)[:-1]:
        expected = layer(expected)
    actual = x
    for i, stage in enumerate(network.encoder):
        actual = stage(torch.nn.functional.max_pool2d(actual, 2) if i else actual)
    torch.testing.assert_close(actual, expected)


def test_an_unsupported_encoder_lists_the_supported_ones():
    with pytest.raises(InputError, match=r"'resnet18'.*vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn"):
        SegNet(3, "resnet18")
