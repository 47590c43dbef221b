import pytest
import torch

from lightning_seg.errors import InputError
from lightning_seg.networks import Unet, no_pretrained_weights


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


@pytest.mark.parametrize("size", [(33, 47), (180, 241), (1, 90)])
def test_any_height_and_width_works(size):
    network = Unet(3, encoder="resnet18").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size))["decoder"].shape[-2:] == size


def test_any_number_of_channels_works():
    network = Unet(5, encoder="resnet18").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 5, 64, 64))["decoder"].isfinite().all()


def test_the_gradient_reaches_every_parameter():
    network = Unet(3, encoder="resnet18")
    network(torch.rand(2, 3, 64, 64))["decoder"].square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_images_are_normalised_inside():
    network = Unet(3, encoder="resnet18")
    grey = network.mean.expand(1, 3, 4, 4)
    assert network.normalize(grey).abs().max() == 0


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(InputError, match=r"no encoder named 'resnet19'.*resnet18"):
        Unet(3, encoder="resnet19")


def test_a_wrong_number_of_bands_says_so():
    with pytest.raises(ValueError, match="4 channels but the network was built for 3"):
        Unet(3, encoder="resnet18")(torch.rand(1, 4, 32, 32))


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
