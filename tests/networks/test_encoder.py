import pytest
import timm
import torch
from safetensors.torch import save_file

from lightning_seg.errors import InputError
from lightning_seg.networks import Encoder, no_pretrained_weights


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return timm.create_model("test_resnet").eval()


@pytest.fixture
def weights(model, tmp_path):
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


def first_convolution(module):
    return next(m for m in module.modules() if isinstance(m, torch.nn.Conv2d)).weight.data


def last_map(module):
    module.eval()
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return module(x)[-1] if isinstance(module, Encoder) else module.forward_features(x)


def test_weights_are_loaded_from_a_file(model, weights, tmp_path):
    of_safetensors = Encoder("test_resnet", 3, weights=weights)
    torch.testing.assert_close(last_map(of_safetensors), last_map(model))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    of_checkpoint = Encoder("test_resnet", 3, weights=tmp_path / "weights.pth")
    torch.testing.assert_close(last_map(of_checkpoint), last_map(model))


def test_a_file_replaces_the_download(model, weights):
    encoder = Encoder("test_resnet", 3, pretrained=True, weights=weights)
    torch.testing.assert_close(last_map(encoder), last_map(model))


@pytest.mark.parametrize("in_channels", [1, 4, 5])
def test_rgb_weights_are_adapted_to_other_channels(model, weights, in_channels):
    actual = first_convolution(Encoder("test_resnet", in_channels, weights=weights))
    rgb = first_convolution(model)
    repeated = rgb[:, [i % 3 for i in range(in_channels)]] * 3 / in_channels
    expected = repeated if in_channels > 1 else rgb.sum(dim=1, keepdim=True)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("in_channels", [3, 4, 5])
def test_weights_for_other_channels_are_adapted_too(tmp_path, in_channels):
    theirs = timm.create_model("test_resnet", in_chans=4)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    actual = first_convolution(
        Encoder("test_resnet", in_channels, weights=tmp_path / "weights.pth")
    )
    bands = [i % 4 for i in range(in_channels)]
    torch.testing.assert_close(actual, first_convolution(theirs)[:, bands] * 4 / in_channels)


def test_weights_are_not_read_before_a_checkpoint():
    with no_pretrained_weights():
        Encoder("test_resnet", 3, weights="no/such/file.pth")


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"no/such/file\.pth is not a file"):
        Encoder("test_resnet", 3, weights="no/such/file.pth")


def test_a_file_without_a_state_dict_names_what_is_expected(tmp_path):
    (tmp_path / "weights.pth").write_text("these are no weights")
    with pytest.raises(InputError, match=r"weights\.pth cannot be read.*safetensors"):
        Encoder("test_resnet", 3, weights=tmp_path / "weights.pth")


def test_weights_that_lack_tensors_are_refused(model, tmp_path):
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("layer4.")}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(
        InputError, match=r"lack \d+ of the \d+ tensors.*'layer4\.0\.conv1\.weight'"
    ):
        Encoder("test_resnet", 3, weights=tmp_path / "weights.pth")


def test_weights_of_other_shapes_are_refused(model, tmp_path):
    state = model.state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(7, 7, 3, 3)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"do not fit the encoder 'test_resnet'.*\s.*layer1\.0"):
        Encoder("test_resnet", 3, weights=tmp_path / "weights.pth")


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "test_resnet"])
def test_later_stages_are_dilated(name, stride):
    encoder = Encoder(name, 3, output_stride=stride).eval()
    assert encoder.strides == [min(s, stride) for s in (2, 4, 8, 16, 32)]
    with torch.no_grad():
        sizes = [tuple(m.shape[-2:]) for m in encoder(torch.rand(1, 3, 64, 96))]
    assert sizes == [(64 // s, 96 // s) for s in encoder.strides]


@pytest.mark.parametrize(
    ("name", "stride", "choices"),
    [
        ("resnet18", 4, "8, 16, 32"),
        ("vgg11_bn", 8, "32"),
        ("densenet121", 16, "32"),
        ("legacy_xception", 8, "32"),
    ],
)
def test_an_unsupported_stride_lists_the_supported_ones(name, stride, choices):
    with pytest.raises(InputError, match=rf"no output_stride {stride}; it has {choices}\."):
        Encoder(name, 3, output_stride=stride)


def test_an_encoder_of_fixed_size_refuses_other_sizes():
    encoder = Encoder("swin_tiny_patch4_window7_224", 3)
    with pytest.raises(InputError, match=r"cannot take an image of 64 x 64.*224.*windows"):
        encoder(torch.rand(1, 3, 64, 64))


def test_an_encoder_without_checkpointing_is_refused():
    with pytest.raises(InputError, match="set checkpointing: false"):
        Encoder("mobilenetv2_050", 3, checkpointing=True)


def test_a_stride_without_a_feature_map_is_refused():
    with pytest.raises(InputError, match=r"maps at strides \[2, 4, 8, 16, 32\], but one at 1"):
        Encoder("test_resnet", 3).index_of_stride(1)


@pytest.mark.parametrize("in_channels", [5])
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("resnet34", None),
        ("resnet50", 16),
        ("resnet101", 8),
        ("mobilenetv2_100", 16),
        ("vgg16_bn", None),
        ("xception65", 16),
        ("xception71", 8),
        ("xception71.tf_in1k", 16),
        ("wide_resnet50_2", 8),
        ("densenet121", None),
        ("convnext_tiny", 16),
    ],
)
def test_the_papers_encoders_return_their_feature_maps(name, stride, in_channels):
    with torch.device("meta"):  # shapes need no arithmetic
        encoder = Encoder(name, in_channels, output_stride=stride)
        maps = encoder(torch.rand(2, in_channels, 64, 96))
    assert encoder.strides[-1] == (stride or 32)
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, 64 // s, 96 // s)
        for channels, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


def test_nhwc_maps_are_converted_by_timms_output_format():
    encoder = Encoder("test_mambaout", 3)
    maps = encoder(torch.rand(1, 3, 512, 512))  # 16 channels, and 16 pixels a side in the last map
    assert [m.shape[1] for m in maps] == encoder.channels
    assert [m.shape[-1] for m in maps] == [512 // s for s in encoder.strides]


@pytest.mark.parametrize(
    "name", ["convnext_atto", "densenet121", "regnetx_002", "test_mambaout", "xception41"]
)
def test_checkpointing_recomputes_the_blocks_of_any_encoder(name):
    torch.manual_seed(0)
    plain = Encoder(name, 3)
    saving = Encoder(name, 3, checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 64, 64)
    for encoder in (plain, saving):
        for _ in range(2):  # what the first leaves behind must not come into the second
            encoder.zero_grad()
            sum(i * m.square().mean() for i, m in enumerate(encoder(x), 1)).backward()
    for (key, p), q in zip(plain.named_parameters(), saving.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-3, atol=1e-5, msg=key)
    torch.testing.assert_close(dict(saving.named_buffers()), dict(plain.named_buffers()))


def test_the_last_convolution_of_a_mobilenet_can_be_kept():
    whole = timm.create_model("mobilenetv2_050").eval()
    encoder = Encoder("mobilenetv2_050", 3, last_convolution=True).eval()
    own = whole.state_dict()
    encoder.model.load_state_dict({k: own[k] for k in encoder.model.state_dict()})
    encoder.last[0].load_state_dict(whole.conv_head.state_dict())
    assert encoder.channels == [8, 16, 16, 48, 1280]
    torch.testing.assert_close(last_map(encoder), last_map(whole))


def test_the_last_convolution_is_loaded_from_the_weights(tmp_path):
    model = timm.create_model("mobilenetv2_050").eval()
    model.bn2.running_mean.normal_(std=0.1)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    encoder = Encoder(
        "mobilenetv2_050", 3, weights=tmp_path / "weights.safetensors", last_convolution=True
    )
    torch.testing.assert_close(last_map(encoder), last_map(model))


def test_weights_without_a_requested_last_convolution_are_refused(tmp_path):
    state = timm.create_model("mobilenetv2_050").state_dict()
    torch.save(
        {k: v for k, v in state.items() if k.split(".")[0] not in ("conv_head", "bn2")},
        tmp_path / "weights.pth",
    )
    Encoder("mobilenetv2_050", 3, weights=tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r'"conv_head\.weight"'):
        Encoder("mobilenetv2_050", 3, weights=tmp_path / "weights.pth", last_convolution=True)


def test_an_encoder_without_a_last_convolution_is_refused():
    with pytest.raises(InputError, match="'test_resnet' has no convolution after its last stage"):
        Encoder("test_resnet", 3, last_convolution=True)


@pytest.mark.parametrize(("alike", "dilations"), [(False, [1, 2]), (True, [2, 2])])
def test_dilate_first_also_dilates_the_first_block_of_a_stage(alike, dilations):
    encoder = Encoder("resnet18", 3, output_stride=16, dilate_first=alike)
    blocks = encoder.model["layer4"]
    assert [block.conv1.dilation[0] for block in blocks] == dilations
    assert [block.conv1.padding[0] for block in blocks] == dilations
    assert encoder.model["layer3"][0].conv1.dilation == (1, 1)
