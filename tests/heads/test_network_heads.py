"""Heads that take further features of certain networks."""

import pytest
import torch

from lightning_seg.heads import AuxiliaryHead, EdgeHead
from lightning_seg.networks import GSCNN, PSPNet
from lightning_seg.targets import semantic_edges


@pytest.fixture
def image():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_an_auxiliary_classifier_gives_further_scores(image):
    network = PSPNet(3, "test_resnet", channels=8)
    head = AuxiliaryHead(8, 5, auxiliary_channels=network.auxiliary_channels)
    predictions = head(network(image))
    assert {k: v.shape for k, v in predictions.items()} == {
        "logits": (2, 5, 8, 8),
        "auxiliary": (2, 5, 8, 8),
    }
    assert head.scores == head.predictions == ("logits", "auxiliary")


def test_its_loss_reaches_the_encoder_but_not_the_decoder(image):
    network = PSPNet(3, "test_resnet", channels=8)
    head = AuxiliaryHead(8, 5, auxiliary_channels=network.auxiliary_channels)
    head(network(image))["auxiliary"].sum().backward()
    assert next(network.encoder.parameters()).grad is not None
    assert all(p.grad is None for p in network.decoder.parameters())


def test_wrong_auxiliary_channels_say_which_are_right(image):
    with pytest.raises(ValueError, match="set auxiliary_channels: 192"):
        AuxiliaryHead(8, 5)(PSPNet(3, "test_resnet", channels=8)(image))


@pytest.mark.parametrize(
    ("head", "missing"), [(AuxiliaryHead, "PSPNet"), (EdgeHead, "GSCNN")], ids=["auxiliary", "edge"]
)
def test_a_network_without_the_features_names_one_that_has_them(head, missing):
    with pytest.raises(ValueError, match=rf"the network gives decoder, .*{missing}"):
        head(8, 5)({"decoder": torch.rand(1, 8, 4, 4)})


def test_edges_are_probabilities_at_full_resolution(image):
    predictions = EdgeHead(8, 5)(GSCNN(3, "test_resnet", channels=8)(image))
    assert predictions["logits"].shape == (2, 5, 16, 16)
    assert predictions["edge"].shape == (2, 1, 64, 64)
    assert 0 < predictions["edge"].min() < predictions["edge"].max() < 1


def test_the_target_of_edges_is_where_a_neighbour_is_of_another_class(image):
    mask = torch.randint(0, 3, (2, 8, 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    target = EdgeHead(8, 3).targets(image, mask, {"edge"})["edge"]
    assert torch.equal(target[:, 0].bool(), semantic_edges(mask))
    assert EdgeHead(8, 3).targets(image, mask, set()) == {}
