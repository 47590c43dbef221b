import pytest
import torch
from network_contract import NetworkContract

from lightning_seg.networks import CCNet
from lightning_seg.networks.ccnet import CrissCrossAttention


class TestCCNet(NetworkContract):
    dilates = True

    def exported(self):
        return self.made(encoder="resnet18")

    def make(self, in_channels, encoder="test_resnet", **options):
        return CCNet(in_channels, encoder, channels=24, **options)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    module = CrissCrossAttention(16)
    torch.nn.init.ones_(module.scale)
    return module


def test_attention_covers_the_row_and_the_column(attention):
    x = torch.randn(1, 16, 4, 5)
    query, key, value = (conv(x)[0] for conv in (attention.query, attention.key, attention.value))
    expected = torch.zeros(16, 4, 5)
    for i in range(4):
        for j in range(5):
            places = [(i, q) for q in range(5)] + [(p, j) for p in range(4) if p != i]
            scores = torch.stack([query[:, i, j] @ key[:, p, q] for p, q in places])
            values = torch.stack([value[:, p, q] for p, q in places])
            expected[:, i, j] = x[0, :, i, j] + scores.softmax(0) @ values
    torch.testing.assert_close(attention(x)[0], expected)


def test_two_passes_reach_every_position(attention):
    x = torch.randn(1, 16, 4, 5, requires_grad=True)
    once = attention(x)
    (reached,) = torch.autograd.grad(once[0, :, 0, 0].sum(), x, retain_graph=True)
    assert (reached[0].abs().sum(0) > 0).sum() == 4 + 5 - 1
    (reached,) = torch.autograd.grad(attention(once)[0, :, 0, 0].sum(), x)
    assert (reached[0].abs().sum(0) > 0).all()


def test_it_starts_as_the_identity():
    x = torch.randn(1, 16, 4, 5)
    assert torch.equal(CrissCrossAttention(16)(x), x)
