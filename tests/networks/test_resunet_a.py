"""ResUNet-a: its layers, sizes and numbers of parameters."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from network_contract import NetworkContract

from lightning_seg.heads import (
    ClassificationHead,
    ConditionedMultiTaskHead,
    MultiTaskHead,
    PyramidPoolingHead,
)
from lightning_seg.networks import PSPPooling, ResUNetA
from lightning_seg.networks.resunet_a import ResBlockA

TABLE_1 = {6: [[1]] * 5, 7: [[1]] * 6}


def small(in_channels=3, **kwargs):
    torch.manual_seed(0)
    return ResUNetA(in_channels, initial_filters=4, **kwargs)


def image(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


class TestResUNetA(NetworkContract):
    wrong_encoder = None

    def make(self, in_channels, **options):
        return ResUNetA(in_channels, initial_filters=4, **options)


class TestResUNetAOfTheCode(NetworkContract):
    wrong_encoder = None

    def make(self, in_channels, **options):
        return ResUNetA(in_channels, initial_filters=4, variant="code", down_kernel=3, **options)


class TestResUNetAD7v1(NetworkContract):
    wrong_encoder = None

    def make(self, in_channels, **options):
        return ResUNetA(in_channels, "d7v1", initial_filters=4, **options)


class TestResUNetAD7v2(NetworkContract):
    wrong_encoder = None

    def make(self, in_channels, **options):
        return ResUNetA(in_channels, "d7v2", initial_filters=4, **options)


def num_parameters(head, **kwargs):
    with torch.device("meta"):  # hundreds of millions of them, none of which is needed
        network = ResUNetA(5, **kwargs)
        parameters = [*network.parameters(), *head(network.out_channels, 6).parameters()]
    return sum(p.numel() for p in parameters)


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"decoder_dilations": TABLE_1[6]}, 39.95),
        ({}, 52.92),
        ({"variant": "code"}, 52.39),
        ({"variant": "code", "down_kernel": 3}, 57.98),
        ({"model": "d7v2", "decoder_dilations": TABLE_1[7]}, 150.07),
        ({"model": "d7v2"}, 164.22),
        ({"model": "d7v2", "variant": "code"}, 162.11),
        ({"model": "d7v2", "variant": "code", "down_kernel": 3}, 184.48),
        ({"model": "d7v1"}, 160.02),
    ],
)
def test_parameter_counts_of_each_reading_of_the_paper(options, millions):
    """Five bands and six classes. The paper states 52 and 160 million."""
    assert round(num_parameters(PyramidPoolingHead, **options) / 1e6, 2) == millions


@pytest.mark.parametrize("head", [MultiTaskHead, ConditionedMultiTaskHead])
@pytest.mark.parametrize("model", ["d6", "d7v2"])
def test_more_tasks_add_few_parameters(head, model):
    added = num_parameters(head, model=model) - num_parameters(PyramidPoolingHead, model=model)
    assert 0 < added < 70_000


def test_a_block_is_the_sum_of_its_input_and_its_branches():
    torch.manual_seed(0)
    block, x = ResBlockA(4, (1, 3, 15)).eval(), torch.randn(2, 4, 20, 20)
    expected = x + sum(branch(x) for branch in block.branches)
    torch.testing.assert_close(block(x), expected)
    assert [branch[2].dilation for branch in block.branches] == [(1, 1), (3, 3), (15, 15)]
    assert [branch[5].dilation for branch in block.branches] == [(1, 1), (3, 3), (15, 15)]


def dilations(blocks):
    return [[branch[2].dilation[0] for branch in block.branches] for block in blocks]


@pytest.mark.parametrize(("variant", "fourth"), [("paper", [1, 3, 15]), ("code", [1, 3, 5])])
def test_dilations_shrink_with_the_feature_maps(variant, fourth):
    network = small(variant=variant)
    wide = [1, 3, 15, 31]
    assert dilations(network.encoder) == [wide, wide, [1, 3, 15], fourth, [1], [1]]
    assert dilations(network.decoder) == [[1, 3, 5], [1, 3, 15], wide, wide, wide]


def test_dilations_of_the_decoder_can_be_given():
    given = [[1], [1, 2], [1], [1], [1, 3]]
    assert dilations(small(decoder_dilations=given).decoder) == given


def ones(lists):
    return [[1] * len(rates) for rates in lists]


WIDE = [1, 3, 15, 31]
ENCODER = [WIDE, WIDE, [1, 3, 15], [1, 3, 15], [1], [1]]
DECODER = [[1, 3, 5], [1, 3, 15], WIDE, WIDE, WIDE]


def test_dilations_of_the_encoder_can_be_given():
    given = [[1], [1, 2], [1], [1], [1, 3], [1]]
    assert dilations(small(encoder_dilations=given).encoder) == given


@pytest.mark.parametrize("middle", ["psp", "max_pool", "none"])
@pytest.mark.parametrize("model", ["d6", "d7v1", "d7v2"])
def test_every_model_works_with_every_middle(model, middle):
    network = small(model=model, middle=middle)
    network(image(2, 3, 64, 64))["decoder"].square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert sum(isinstance(m, PSPPooling) for m in network.modules()) == (middle == "psp")


def test_the_networks_of_figure_7_differ_in_parameters_as_described():
    """Atrous convolutions add no parameters; pooling and tasks add some."""
    plain = {
        "encoder_dilations": ones(ENCODER), "decoder_dilations": ones(DECODER), "middle": "none"
    }  # fmt: skip
    classifier = partial(ClassificationHead, kernel_size=1)
    resunet = num_parameters(classifier, **plain)
    atrous = num_parameters(classifier, middle="none")
    pooled = num_parameters(PyramidPoolingHead)
    conditioned = num_parameters(ConditionedMultiTaskHead)
    assert resunet == atrous < pooled < conditioned
    network = small(**plain)
    assert dilations(network.encoder) == ones(ENCODER)
    assert dilations(network.decoder) == ones(DECODER)
    assert dilations(small(middle="none").encoder) == ENCODER
    assert dilations(small(middle="none").decoder) == DECODER


@pytest.mark.parametrize(("model", "depth"), [("d6", 6), ("d7v1", 7), ("d7v2", 7)])
def test_channels_double_where_the_resolution_halves(model, depth):
    network, seen = small(model=model).eval(), []
    for block in network.encoder:
        block.register_forward_hook(lambda _block, _inputs, output: seen.append(output.shape[1:]))
    network(image(1, 3, 128, 192))
    assert seen == [(4 * 2**i, 128 // 2**i, 192 // 2**i) for i in range(depth)]


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("model", ["d6", "d7v1", "d7v2"])
@pytest.mark.parametrize("size", [(64, 64), (50, 70), (7, 130)])
def test_features_are_at_full_resolution_for_any_size(model, variant, size):
    network = small(model=model, variant=variant).eval()
    with torch.no_grad():
        features = network(image(1, 3, *size))["decoder"]
    assert features.shape == (1, network.out_channels, *size)
    assert network.out_channels == (4 if variant == "paper" else 8)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("model", ["d6", "d7v1", "d7v2"])
def test_the_gradient_reaches_every_parameter(model, variant):
    network = small(model=model, variant=variant, down_kernel=3)
    network(image(2, 3, 64, 64))["decoder"].square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kernel", [1, 3])
def test_downsampling_is_a_convolution_of_stride_two(kernel):
    torch.manual_seed(0)
    down = small(down_kernel=kernel).down[0]
    x = torch.randn(2, 4, 10, 12)
    conv = down.conv
    expected = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=kernel // 2)
    torch.testing.assert_close(down(x), expected)


def test_narrow_networks_train_in_channels_last():
    network = small().to(memory_format=torch.channels_last)
    for _ in range(3):
        network(image(2, 3, 64, 64))["decoder"].square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def kept_bytes(network, x):
    kept = 0

    def count(tensor):
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(x)
    return kept


def test_checkpointing_saves_memory():
    x = image(1, 3, 64, 64)
    assert kept_bytes(small(checkpointing=True), x) < 0.25 * kept_bytes(small(), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "d8"}, "model is 'd8', expected one of: 'd6', 'd7v1', 'd7v2'"),
        ({"variant": "mine"}, "variant is 'mine'"),
        ({"down_kernel": 2}, "down_kernel is 2"),
        ({"decoder_dilations": TABLE_1[7]}, "6 lists, but d6 has 5 blocks"),
        ({"encoder_dilations": [[1]] * 5}, "5 lists, but d6 has 6 blocks in its encoder"),
        ({"encoder_dilations": [[1]] * 5 + [[]]}, "one or more dilations"),
        ({"decoder_dilations": [[0]] * 5}, "dilations of 1 or more"),
        ({"middle": "pool"}, "middle is 'pool', expected one of: 'psp'"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
