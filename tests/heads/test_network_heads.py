"""Heads on the additional features of some networks."""

import pytest
import torch

from lightning_seg.errors import InputError
from lightning_seg.heads import AuxiliaryHead, EdgeHead
from lightning_seg.networks import GSCNN, PSPNet, Unet
from lightning_seg.targets import semantic_edges


@pytest.fixture
def image():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_an_auxiliary_classifier_gives_scores_of_an_earlier_stage(image):
    network = PSPNet(3, "test_resnet", channels=8)
    head = AuxiliaryHead(network, 5)
    assert head(network(image))["auxiliary"].shape == (2, 5, 8, 8)
    assert head.scores == head.predictions == ("auxiliary",)


def test_its_loss_reaches_the_encoder_but_not_the_decoder(image):
    network = PSPNet(3, "test_resnet", channels=8)
    AuxiliaryHead(network, 5)(network(image))["auxiliary"].sum().backward()
    assert next(network.encoder.parameters()).grad is not None
    assert all(p.grad is None for p in network.decoder.parameters())


@pytest.mark.parametrize(
    ("head", "right"), [(AuxiliaryHead, "PSPNet"), (EdgeHead, "GSCNN")], ids=["auxiliary", "edge"]
)
def test_a_network_without_the_feature_is_refused(head, right):
    with pytest.raises(InputError, match=rf"Unet has no feature .*{right}.*model.auxiliary: null"):
        head(Unet(3, "test_resnet", decoder_channels=(16, 8)), 5)


def test_edges_are_probabilities_at_full_resolution(image):
    network = GSCNN(3, "test_resnet", channels=8)
    edge = EdgeHead(network, 5)(network(image))["edge"]
    assert edge.shape == (2, 1, 64, 64)
    assert 0 < edge.min() < edge.max() < 1


def test_the_edge_target_is_one_where_a_neighbour_has_another_class(image):
    head = EdgeHead(GSCNN(3, "test_resnet", channels=8), 3)
    mask = torch.randint(0, 3, (2, 8, 8)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    target = head.targets(image, mask, {"edge"})["edge"]
    assert torch.equal(target[:, 0].bool(), semantic_edges(mask))
    assert head.targets(image, mask, set()) == {}
