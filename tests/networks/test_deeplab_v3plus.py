import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.heads import ClassificationHead
from lightning_seg.networks import DeepLabV3Plus


class TestDeepLabV3Plus(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return DeepLabV3Plus(in_channels, encoder, channels=24, low_level_channels=8, **options)


class TestDeepLabV3PlusOfSMP(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return DeepLabV3Plus(
            in_channels, encoder, channels=24, low_level_channels=8, variant="smp", **options
        )


class TestDeepLabV3PlusOfSMPOverMobileNet(NetworkContract):
    dilates = True
    checkpoints = False
    wrong_encoder = ("mobilenetv2_101", "mobilenetv2_100")

    def make(self, in_channels, encoder="mobilenetv2_050", **options):
        return DeepLabV3Plus(
            in_channels,
            encoder,
            channels=24,
            low_level_channels=8,
            variant="smp",
            last_convolution=True,
            **options,
        )


ENCODERS_OF_SMP = {
    "resnet34": {"encoder": "resnet34"},
    "resnet50": {"encoder": "resnet50"},
    "mobilenet_v2": {"encoder": "mobilenetv2_100", "last_convolution": True},
}


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def filled_in_order(network, theirs):
    """Copy weights and statistics of modules in the same order."""
    given, own = theirs.state_dict(), network.state_dict()
    assert [v.shape for v in given.values()] == [v.shape for v in own.values()]
    network.load_state_dict(dict(zip(own, given.values(), strict=True)))


def randomize_statistics(network):
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("encoder", ENCODERS_OF_SMP)
def test_the_smp_variant_equals_segmentation_models_pytorch(encoder, stride):
    torch.manual_seed(0)
    theirs = smp.DeepLabV3Plus(
        encoder, encoder_weights=None, encoder_output_stride=stride, classes=19
    ).eval()
    randomize_statistics(theirs)
    ours = DeepLabV3Plus(3, output_stride=stride, variant="smp", **ENCODERS_OF_SMP[encoder]).eval()
    head = ClassificationHead(256, 19, kernel_size=1)
    assert parameters(ours, head) == parameters(theirs)
    filled_in_order(ours.encoder, theirs.encoder)
    filled_in_order(ours.atrous_pyramid, theirs.decoder.aspp[0])
    filled_in_order(ours.before_join, theirs.decoder.aspp[1:])
    filled_in_order(ours.reduce, theirs.decoder.block1)
    filled_in_order(ours.decoder[0], theirs.decoder.block2)
    filled_in_order(head, theirs.segmentation_head)
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actual = head(ours(x))["logits"]
        expected = theirs.segmentation_head[0](theirs.decoder(theirs.encoder(ours.normalize(x))))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_the_smp_variant_has_26_68_million_parameters():
    with torch.device("meta"):
        network, head = DeepLabV3Plus(3, "resnet50", variant="smp"), ClassificationHead(256, 19, 1)
    assert round(parameters(network, head) / 1e6, 2) == 26.68
    branches = list(network.atrous_pyramid.branches)[1:]
    assert [branch[0].dilation[0] for branch in branches] == [12, 24, 36]


def test_arguments_override_those_of_the_variant():
    network = DeepLabV3Plus(3, "test_resnet", variant="smp", rates=[1, 2], separable=False)
    branches = list(network.atrous_pyramid.branches)[1:]
    assert [(branch[0].dilation[0], branch[0].groups) for branch in branches] == [(1, 1), (2, 1)]


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError, match="variant is 'code', expected one of: 'paper', 'smp'"):
        DeepLabV3Plus(3, "test_resnet", variant="code")


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(
    ("encoder", "low", "last"), [("xception71.tf_in1k", 256, 2048), ("resnet101", 256, 2048)]
)
def test_the_encoders_of_semeda_build(encoder, low, last, stride):
    """As in DeepLab's code, low-level features come from the last block at stride 4."""
    with torch.device("meta"):
        network = DeepLabV3Plus(3, encoder, output_stride=stride, separable=True)
        maps = network.encoder(torch.rand(1, 3, 64, 96))
        decoder = network(torch.rand(1, 3, 64, 96))["decoder"]
    assert maps[network.low_level].shape == (1, low, 16, 24)
    assert maps[-1].shape == (1, last, 64 // stride, 96 // stride)
    assert decoder.shape == (1, 256, 16, 24)
    rates = [12, 24, 36] if stride == 8 else [6, 12, 18]
    assert [b[0].dilation[0] for b in list(network.atrous_pyramid.branches)[1:]] == rates


def test_xceptions_low_level_features_come_before_its_second_strided_block():
    """``block3/unit_1/xception_module/separable_conv2_pointwise`` of the paper's code."""
    network = DeepLabV3Plus(3, "xception71", output_stride=16)
    info = network.encoder.model.feature_info.get_dicts()[network.low_level]
    assert info["module"] == "blocks.2.stack.act3"
    model = timm.create_model("xception71")
    (depthwise,) = (
        m
        for m in model.blocks[2].stack.conv3.modules()
        if isinstance(m, torch.nn.Conv2d) and m.groups > 1
    )
    assert depthwise.stride == (2, 2)


def test_xception_71_trains():
    torch.manual_seed(0)
    network = DeepLabV3Plus(3, "xception71", output_stride=16, separable=True)
    network(torch.rand(2, 3, 33, 65))["decoder"].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network.mean.flatten().tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18])])
def test_atrous_rates_follow_the_output_stride(stride, rates):
    network = DeepLabV3Plus(3, "test_resnet", output_stride=stride)
    branches = list(network.atrous_pyramid.branches)[1:]
    assert [branch[0].dilation[0] for branch in branches] == rates


def test_an_encoder_that_cannot_dilate_names_its_stride():
    with pytest.raises(InputError, match=r"'densenet121' has no output_stride 16; it has 32"):
        DeepLabV3Plus(3, "densenet121")


def test_an_unknown_stride_lists_the_supported_ones():
    with pytest.raises(InputError, match="no output_stride 12; it has 8, 16, 32"):
        DeepLabV3Plus(3, "test_resnet", output_stride=12)


def test_an_encoder_without_low_level_maps_is_refused():
    with pytest.raises(InputError, match=r"maps at strides \[16, 16, 16\], but one at 4"):
        DeepLabV3Plus(3, "vit_tiny_patch16_224", output_stride=16)
