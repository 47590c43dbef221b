import pytest
import torch

from lightning_seg.errors import InputError
from lightning_seg.networks import EdgeNetwork


def test_channels_are_those_of_the_paper():
    shapes = [tuple(conv.weight.shape) for conv in EdgeNetwork(11).convs]
    assert shapes == [(16, 11, 3, 3), (32, 16, 3, 3), (2, 32, 3, 3)]


def test_embeddings_are_the_activations_of_each_layer():
    network = EdgeNetwork(3)
    maps = torch.rand(2, 3, 8, 9)
    first, second, third = network.embeddings(maps)
    assert first.shape == (2, 16, 8, 9)
    assert second.shape == (2, 32, 8, 9)
    assert first.min() == second.min() == 0
    torch.testing.assert_close(third, network(maps).softmax(dim=1))
    assert len(network.embeddings(maps, layers=1)) == 1


def test_a_layer_without_a_bias_is_loaded():
    network = EdgeNetwork(3)
    assert len(network.layers(3)) == 3
    network.convs[1].bias = None
    with pytest.raises(AssertionError):
        network.layers(3)


def test_computes_in_the_precision_of_its_input():
    assert EdgeNetwork(3)(torch.rand(1, 3, 8, 9).double()).dtype == torch.float64
    assert EdgeNetwork(3).bfloat16()(torch.rand(1, 3, 8, 9)).dtype == torch.float32


def test_the_number_of_classes_is_read_from_the_weights():
    network = EdgeNetwork(7)
    same = EdgeNetwork.from_state_dict(network.state_dict())
    assert same.num_classes == 7
    maps = torch.rand(1, 7, 8, 9)
    assert torch.equal(same(maps), network(maps))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "edges.ckpt"


def test_a_missing_checkpoint_is_named(path):
    with pytest.raises(InputError, match=rf"no edge network {path}\. Train one .*edge_network"):
        EdgeNetwork.from_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"network.convs.0.weight": torch.rand(16, 3, 3, 3)}},
        {"edge_network": {"class_names": None}, "state_dict": {}},
        {"edge_network": {"class_names": None}, "state_dict": {"network.convs.0.weight": 1}},
        ["edges"],
        torch.nn.ReLU(),  # a class, which is not read from a file that should hold numbers
    ],
)
def test_a_checkpoint_of_another_model_is_refused(path, content):
    torch.save(content, path)
    with pytest.raises(InputError, match="is not the checkpoint of an edge network"):
        EdgeNetwork.from_checkpoint(path)


def test_a_file_that_is_not_a_checkpoint_is_refused(path):
    path.write_text("model: SegmentationTask")
    with pytest.raises(InputError, match="is not the checkpoint of an edge network"):
        EdgeNetwork.from_checkpoint(path)
