"""The signed-distance head without its classifier, as in the ablation of regression alone."""

import pytest
import torch

from lightning_seg.heads import SignedDistanceHead


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return {"decoder": torch.randn(2, 16, 12, 10, generator=generator)}


def test_the_scores_are_the_distances_before_the_clamp(features):
    head = SignedDistanceHead(16, 5, classify=False)
    torch.nn.init.normal_(head.distance.weight)
    predictions = head(features)
    assert predictions["logits"].abs().max() > 1
    assert torch.equal(predictions["distance"], predictions["logits"].clamp(-1, 1))


def test_it_has_no_classifier():
    parameters = dict(SignedDistanceHead(16, 5, classify=False).named_parameters())
    assert set(parameters) == {"distance.weight", "distance.bias"}


def test_it_learns_to_classify_from_distances_alone():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 24, 24, dtype=torch.int64)
    mask[:, 4:15, 6:20], mask[:, 16:, :9] = 1, 2
    one_hot = torch.nn.functional.one_hot(mask, 3).movedim(-1, 1).float()
    features = {"decoder": one_hot + 0.1 * torch.randn(one_hot.shape, generator=generator)}
    head = SignedDistanceHead(3, 3, clip=4.0, classify=False)
    target = head.targets(torch.rand(1, 3, 24, 24), mask, {"distance"})["distance"]
    optimizer = torch.optim.Adam(head.parameters(), 0.02)
    for _ in range(60):
        loss = (head(features)["distance"] - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (head(features)["logits"].argmax(1) == mask).float().mean() > 0.95
