import sys

import pytest
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import SMPNetwork, no_pretrained_weights

smp = pytest.importorskip("segmentation_models_pytorch")

ANY_SIZE = {"dynamic_img_size": True}
VIT = "tu-vit_tiny_patch16_224"


class TestUnetPlusPlus(NetworkContract):
    checkpoints = False

    def make(self, in_channels, encoder="resnet18", **options):
        decoder = {"decoder_channels": [32, 16, 16, 8, 8]}
        return SMPNetwork(in_channels, "UnetPlusPlus", encoder, options=decoder, **options)


class TestDPT(NetworkContract):
    checkpoints = False
    wrong_encoder = None
    bfloat16_error = 0.2

    def make(self, in_channels, encoder=VIT):
        options = {
            "dynamic_img_size": True,
            "decoder_intermediate_channels": [16, 16, 16, 16],
            "decoder_fusion_channels": 16,
        }
        return SMPNetwork(in_channels, "DPT", encoder, options=options)


@pytest.mark.parametrize("kind", smp.MODEL_ARCHITECTURES_MAPPING.values())
def test_any_architecture_gives_the_features_of_its_own_classifier(kind):
    name = kind.__name__
    encoder, options = (VIT, ANY_SIZE) if name == "DPT" else ("resnet18", {})
    torch.manual_seed(0)
    theirs = kind(encoder, encoder_weights=None, classes=4, **options).eval()
    network = SMPNetwork(3, name, encoder, options=options).eval()
    unknown = network.model.load_state_dict(theirs.state_dict(), strict=False).unexpected_keys
    assert all(key.startswith("segmentation_head.") for key in unknown)
    image = torch.rand(2, 3, 128, 160)
    with torch.no_grad():
        ours = theirs.segmentation_head(network(image)["decoder"])
        assert torch.equal(ours, theirs(network.normalize(image)))
    assert network.stride == 128 // network(image)["decoder"].shape[-2]


@pytest.mark.parametrize("name", ["UPerNet", "PAN"])
def test_a_batch_of_one_is_trained_on_despite_global_pooling(name):
    network = SMPNetwork(3, name, "resnet18").train()
    network(torch.rand(1, 3, 128, 128))["decoder"].sum().backward()


def test_an_image_that_is_too_small_for_the_pooling_is_named():
    with pytest.raises(InputError, match="SMPNetwork cannot take an image of 64 x 96 pixels"):
        SMPNetwork(3, "PAN", "resnet18")(torch.rand(1, 3, 64, 96))


def test_normalisation_is_that_of_a_timm_encoder_or_given():
    assert SMPNetwork(3, "FPN", "tu-tf_efficientnet_lite0").mean.unique().item() == 0.5
    given = SMPNetwork(3, "FPN", "resnet18", mean=[0.25], std=[2.0])
    assert (given.mean.unique().item(), given.std.unique().item()) == (0.25, 2.0)


def test_no_pretrained_weights_are_loaded_before_a_checkpoint(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with no_pretrained_weights():
        assert SMPNetwork(3, "FPN", "resnet18", pretrained=True).out_channels == 128
    with pytest.raises(InputError, match=r"cannot make FPN.*pretrained: false"):
        SMPNetwork(3, "FPN", "resnet18", pretrained=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "Unet3"}, "has no 'Unet3'; it has Unet, UnetPlusPlus"),
        ({"encoder": "tu-resnet19"}, "no encoder named 'resnet19'.*resnet18"),
        ({"options": {"decoder_chanels": [8]}}, "no option 'decoder_chanels'.*decoder_channels"),
        ({"options": {"encoder_weights": "imagenet"}}, "no option 'encoder_weights'"),
        ({"encoder": "tu-resnet18", "options": {"checkpoint_path": "x"}}, "no option 'checkpoint_"),
        ({"options": {"decoder_channels": [8]}}, "cannot make UnetPlusPlus"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        SMPNetwork(3, **settings)


def test_a_size_that_the_encoder_cannot_take_is_named():
    network = SMPNetwork(3, "DPT", VIT).eval()
    with pytest.raises(InputError, match="cannot take an image of 64 x 64"):
        network(torch.rand(1, 3, 64, 64))


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(InputError, match=r"pip install 'lightning_seg\[smp\]'"):
        SMPNetwork(3)
