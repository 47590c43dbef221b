import pytest
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import Unet, no_pretrained_weights


class TestUnet(NetworkContract):
    def make(self, in_channels, encoder="test_resnet", **options):
        return Unet(in_channels, encoder, decoder_channels=(32, 16, 16, 8, 8), **options)


@pytest.mark.parametrize(
    "encoder", ["resnet18", "vgg11_bn", "mobilenetv2_050", "convnext_atto", "efficientnet_b0"]
)
def test_any_encoder_gives_features_at_full_resolution(encoder):
    network = Unet(3, encoder=encoder).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 96))["decoder"]
    assert features.shape == (1, network.out_channels, 64, 96)
    assert network.stride == 1


def test_an_encoder_with_channels_last_maps_works():
    network = Unet(3, encoder="swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224))["decoder"].shape[-2:] == (224, 224)


def test_images_are_normalised_inside():
    network = Unet(3, encoder="resnet18")
    grey = network.mean.expand(1, 3, 4, 4)
    assert network.normalize(grey).abs().max() == 0


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(InputError, match=r"no encoder named 'resnet19'.*resnet18"):
        Unet(3, encoder="resnet19")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network and an empty cache of weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_weights_that_cannot_be_loaded_say_how_to_go_on():
    with pytest.raises(InputError, match="pretrained: false"):
        Unet(3, encoder="resnet18", pretrained=True)


@pytest.mark.usefixtures("offline")
def test_pretrained_weights_are_not_asked_for_where_a_checkpoint_follows():
    with no_pretrained_weights():
        network = Unet(3, encoder="resnet18", pretrained=True)
    assert network.out_channels == 16
