from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import Unet, no_pretrained_weights

LITE0 = Path(__file__).parents[3] / "shared" / "weights" / "efficientnet_lite0.safetensors"


class TestUnet(NetworkContract):
    def make(self, in_channels, encoder="test_resnet", **options):
        return Unet(in_channels, encoder, decoder_channels=(32, 16, 16, 8, 8), **options)


class TestUnetOverMobileNet(NetworkContract):
    checkpoints = False
    wrong_encoder = ("mobilenetv2_101", "mobilenetv2_100")

    def make(self, in_channels, encoder="mobilenetv2_050", **options):
        return Unet(
            in_channels,
            encoder,
            decoder_channels=(32, 16, 16, 8, 8),
            last_convolution=True,
            **options,
        )


@pytest.mark.parametrize(
    ("encoder", "ours"),
    [
        ("resnet34", {"encoder": "resnet34"}),
        ("resnet50", {"encoder": "resnet50"}),
        ("mobilenet_v2", {"encoder": "mobilenetv2_100", "last_convolution": True}),
    ],
)
def test_it_has_as_many_parameters_as_segmentation_models_pytorch(encoder, ours):
    with torch.device("meta"):
        theirs = smp.Unet(encoder, encoder_weights=None)
        network = Unet(3, **ours)
    head = sum(p.numel() for p in theirs.segmentation_head.parameters())
    expected = sum(p.numel() for p in theirs.parameters()) - head
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(
    "encoder", ["resnet18", "vgg11_bn", "mobilenetv2_050", "convnext_atto", "efficientnet_b0"]
)
def test_any_encoder_gives_features_at_full_resolution(encoder):
    network = Unet(3, encoder=encoder).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 96))["decoder"]
    assert features.shape == (1, network.out_channels, 64, 96)
    assert network.stride == 1


def test_an_encoder_with_nhwc_maps_works():
    network = Unet(3, encoder="swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224))["decoder"].shape[-2:] == (224, 224)


def test_images_are_normalised_inside_the_network():
    network = Unet(3, encoder="resnet18")
    grey = network.mean.expand(1, 3, 4, 4)
    assert network.normalize(grey).abs().max() == 0


def test_an_unknown_encoder_suggests_the_nearest():
    with pytest.raises(InputError, match=r"no encoder named 'resnet19'.*resnet18"):
        Unet(3, encoder="resnet19")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No internet connection and an empty cache of weights."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_weights_that_cannot_be_loaded_suggest_what_to_do():
    with pytest.raises(InputError, match="pretrained: false"):
        Unet(3, encoder="resnet18", pretrained=True)


@pytest.mark.usefixtures("offline")
def test_no_pretrained_weights_are_loaded_before_a_checkpoint():
    with no_pretrained_weights():
        network = Unet(3, encoder="resnet18", pretrained=True)
    assert network.out_channels == 16


@pytest.mark.parametrize(
    "encoder", ["resnet18", "mobilenetv2_050", "convnext_atto", "tf_efficientnet_lite0"]
)
def test_the_last_decoder_stage_can_have_more_channels(encoder):
    network = Unet(3, encoder=encoder, decoder_channels=[256, 128, 64, 64, 64]).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 96))["decoder"]
    assert network.out_channels == 64
    assert features.shape == (1, 64, 64, 96)


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "inception_v4", "resnet18"])
def test_normalisation_is_that_of_the_encoders_training(encoder):
    network = Unet(4, encoder=encoder)
    config = timm.get_pretrained_cfg(encoder)
    assert network.mean.flatten().tolist() == pytest.approx([*config.mean, config.mean[0]])
    assert network.std.flatten().tolist() == pytest.approx([*config.std, config.std[0]])
    assert (config.mean[0] == 0.5) == (encoder != "resnet18")


@pytest.mark.skipif(not LITE0.is_file(), reason="no file of EfficientNet-Lite0's weights")
def test_every_tensor_of_a_weights_file_but_the_classifier_is_loaded():
    from safetensors.torch import load_file

    given = load_file(LITE0)
    own = Unet(3, encoder="tf_efficientnet_lite0", weights=str(LITE0)).encoder.model.state_dict()
    floats = {key for key, value in own.items() if value.is_floating_point()}
    assert all(torch.equal(own[key], given[key]) for key in floats)
    assert {key.split(".")[0] for key in given.keys() - floats} == {
        "conv_head",
        "bn2",
        "classifier",
    }
