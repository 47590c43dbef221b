import sys

import pytest
import torch
from network_contract import NetworkContract

from lightning_seg.errors import InputError
from lightning_seg.networks import TransformersNetwork, no_pretrained_weights

SMALL = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 16, 32],
    "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 16,
    "drop_path_rate": 0.0,
}
VIT = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
BEIT = VIT | {"image_size": 64, "out_indices": [1, 2, 3, 4], "pool_scales": [1, 2]}
SWIN = {"model_type": "swin", "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}


class TestSegFormer(NetworkContract):
    wrong_encoder = None

    def make(self, in_channels, **options):
        pytest.importorskip("transformers")
        return TransformersNetwork(in_channels, "segformer", SMALL, **options)


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


def test_features_are_what_segformer_classifies(transformers):
    torch.manual_seed(0)
    config = transformers.SegformerConfig(**SMALL, num_labels=5)
    theirs = transformers.SegformerForSemanticSegmentation(config).eval()
    network = TransformersNetwork(3, "segformer", SMALL).eval()
    missing, unknown = network.model.model.load_state_dict(theirs.state_dict(), strict=False)
    assert missing == []
    assert all("classifier" in name for name in unknown)
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        ours = theirs.decode_head.classifier(network(image)["decoder"])
        assert torch.equal(ours, theirs(network.normalize(image)).logits)
    assert network.stride == 4


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("beit", BEIT | {"hidden_size": 48}),
        ("upernet", {"hidden_size": 16, "backbone_config": SWIN | STAGES}),
        ("mobilevitv2", {}),
    ],
)
@pytest.mark.usefixtures("transformers")
def test_other_models_train_on_images_of_any_size_and_channels(model, options):
    network = TransformersNetwork(4, model, options)
    for size in [(64, 96), (33, 70)]:
        maps = network(torch.rand(2, 4, *size))["decoder"]
        expected = (network.out_channels, *(-(-side // network.stride) for side in size))
        assert maps.shape == (2, *expected)
    maps.square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_weights_of_a_folder_are_loaded_and_fit_other_bands(transformers, tmp_path):
    config = transformers.SegformerConfig(**SMALL, num_labels=5)
    torch.manual_seed(1)
    theirs = transformers.SegformerForSemanticSegmentation(config)
    theirs.save_pretrained(tmp_path)
    given = theirs.state_dict()
    for bands in (3, 4):
        network = TransformersNetwork(bands, "segformer", SMALL, weights=str(tmp_path))
        own = network.model.model.state_dict()
        first = [name for name in own if own[name].shape != given[name].shape]
        assert len(first) == (bands == 4)
        assert all(torch.equal(own[name], given[name]) for name in own.keys() - set(first))
    assert torch.allclose(own[first[0]][:, 3] * 4 / 3, given[first[0]][:, 0])
    with pytest.raises(InputError, match=r"give the options of its config.json"):
        TransformersNetwork(3, weights=str(tmp_path))
    with pytest.raises(InputError, match="is a segformer, not a mobilevitv2"):
        TransformersNetwork(3, "mobilevitv2", weights=str(tmp_path))


@pytest.mark.usefixtures("transformers")
def test_no_weights_are_loaded_before_a_checkpoint(tmp_path):
    with no_pretrained_weights():
        TransformersNetwork(3, "segformer", SMALL, weights=str(tmp_path / "none"))
    with pytest.raises(InputError, match="none cannot be loaded"):
        TransformersNetwork(3, "segformer", SMALL, weights=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "segfromer"}, "Did you mean segformer"),
        ({"options": {"dephts": [1]}}, "no option 'dephts'.*Did you mean depths"),
        ({"options": {"attn_implementation": "a/b"}}, "no option 'attn_implementation'"),
        ({"options": {"auto_map": {}}}, "no option 'auto_map'"),
        ({"model": "upernet", "options": {"backbone_config": {"model_type": "x"}}}, "'x' is no mo"),
        (
            {"model": "upernet", "options": {"backbone_config": SWIN | {"auto_map": {}}}},
            "swin has no option 'auto_map'",
        ),
        (
            {
                "model": "upernet",
                "options": {
                    "backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:a/b"}
                },
            },
            "backbone: 'hf-hub:a/b' is an address",
        ),
        ({"options": {"depths": "many"}}, "do not fit|cannot make"),
    ],
)
@pytest.mark.usefixtures("transformers")
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        TransformersNetwork(3, **settings)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'lightning_seg\[transformers\]'"):
        TransformersNetwork(3)
