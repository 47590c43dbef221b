import copy

import numpy as np
import pytest
import torch
from loss_contract import (
    LABEL_MAPS,
    VOID,
    LossContract,
    on_each_label_map,
    random_logits,
    softmax,
)
from torch import nn

from lightning_seg.errors import InputError
from lightning_seg.losses import SemedaLoss
from lightning_seg.networks import EdgeNetwork, no_pretrained_weights


def edge_network(num_classes=4, seed=0):
    torch.manual_seed(seed)
    return EdgeNetwork(num_classes)


def convolve(maps, kernel, bias):
    """Convolve (C, H, W) with a kernel (D, C, 3, 3), zero-padded, term by term."""
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(kernel), height, width)) + bias[:, None, None]
    for dy in range(3):
        for dx in range(3):
            window = padded[:, dy : dy + height, dx : dx + width]
            out += np.einsum("dc,chw->dhw", kernel[:, :, dy, dx], window)
    return out


def layers(maps, network):
    params = [p.detach().double().numpy() for p in network.parameters()]
    first = np.maximum(convolve(maps, *params[:2]), 0)
    second = np.maximum(convolve(first, *params[2:4]), 0)
    return first, second, softmax(convolve(second, *params[4:])[None])[0]


def numpy_semeda(logits, mask, network, weights, mean=True):
    """Equations 4 and 5 by image, in float64."""
    total = pixels = 0
    for scores, labels in zip(logits, mask, strict=True):
        valid = labels != VOID
        probabilities = softmax(scores[None])[0] * valid
        one_hot = np.stack([labels == k for k in range(len(scores))]).astype(float)
        actual, expected = layers(probabilities, network), layers(one_hot, network)
        for weight, psi, psi_star in zip(weights, actual, expected, strict=True):
            share = weight / len(psi) if mean else weight
            total += share * np.abs(psi - psi_star)[:, valid].sum()
        pixels += valid.sum()
    return total / pixels


class TestSemedaLoss(LossContract):
    classes_permute = False
    turns = False

    def make(self):
        return SemedaLoss(edge_network(), (2.0, 4.0, 3.0))

    def expected(self, logits, mask):
        return numpy_semeda(logits, mask, edge_network(), (2.0, 4.0, 3.0))


@on_each_label_map
@pytest.mark.parametrize("weights", [(2, 4, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("reduction", ["pixel", "mean"])
def test_each_layer_has_its_own_weight_and_scale(mask, weights, reduction):
    logits = random_logits((2, 4, 9, 7))
    arguments = logits.numpy(), mask.numpy(), edge_network(), weights
    expected = numpy_semeda(*arguments, mean=reduction == "mean")
    value = SemedaLoss(edge_network(), weights, reduction)(logits, mask)
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_the_edge_network_is_frozen_and_stays_in_evaluation():
    loss = SemedaLoss(edge_network()).train()
    assert not loss.edge_network.training
    assert not any(p.requires_grad for p in loss.parameters())
    logits = random_logits((1, 4, 9, 7)).requires_grad_()
    loss(logits, LABEL_MAPS["noise"][:1]).backward()
    assert logits.grad.any()
    assert all(p.grad is None for p in loss.parameters())


def test_layers_with_zero_weight_are_not_computed():
    network = edge_network()
    with torch.no_grad():
        for parameter in network.convs[2].parameters():
            parameter.fill_(torch.nan)
    loss = SemedaLoss(network, (2.0, 4.0, 0.0))
    assert loss(random_logits((2, 4, 9, 7)), LABEL_MAPS["noise"]).isfinite()


def test_a_model_in_half_precision_keeps_working():
    logits, mask = random_logits((2, 4, 9, 7)), LABEL_MAPS["void"]
    expected = SemedaLoss(edge_network())(logits.bfloat16().float(), mask)
    value = SemedaLoss(edge_network()).bfloat16()(logits.bfloat16(), mask)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize("weights", [(1, 2), (1, -1, 0), (0, 0, 0), (1, 2, 3, 4)])
def test_there_must_be_one_weight_per_layer(weights):
    with pytest.raises(ValueError, match="each of the 3 layers"):
        SemedaLoss(edge_network(), weights)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="'sum', expected one of: 'pixel', 'mean'"):
        SemedaLoss(edge_network(), reduction="sum")


def test_another_number_of_classes_is_refused():
    loss = SemedaLoss(edge_network(num_classes=6))
    loss.check_channels(6)
    with pytest.raises(InputError, match="trained for 6 classes, but there are 4 here"):
        loss.check_channels(4)
    with pytest.raises(InputError, match="trained for 6 classes, but there are 4 here"):
        loss(random_logits((2, 4, 9, 7)), LABEL_MAPS["noise"])


class Model(nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.head = nn.Conv2d(3, 4, 1)
        self.loss = loss


@pytest.fixture
def path(tmp_path):
    weights = {f"network.{k}": v for k, v in edge_network().state_dict().items()}
    torch.save({"edge_network": {"class_names": None}, "state_dict": weights}, tmp_path / "e.ckpt")
    return tmp_path / "e.ckpt"


def value(loss):
    return loss(random_logits((2, 4, 9, 7)), LABEL_MAPS["void"])


def test_an_edge_network_is_read_from_a_file(path):
    assert value(SemedaLoss(path)) == value(SemedaLoss(edge_network()))
    assert value(SemedaLoss(str(path))) == value(SemedaLoss(edge_network()))


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"no edge network .*none\.ckpt\. .*edge_network\.yaml"):
        SemedaLoss(tmp_path / "none.ckpt")


def test_a_models_checkpoint_contains_the_edge_network(path):
    weights = Model(SemedaLoss(path)).state_dict()
    expected = value(SemedaLoss(path))
    path.unlink()
    with no_pretrained_weights():
        model = Model(SemedaLoss(path))
    model.load_state_dict(weights)
    assert value(model.loss) == expected
    assert not any(p.requires_grad for p in model.loss.parameters())


def test_a_models_checkpoint_replaces_the_files_edge_network(path):
    trained = Model(SemedaLoss(edge_network(seed=1)))
    model = Model(SemedaLoss(path))
    model.load_state_dict(trained.state_dict())
    assert value(model.loss) == value(trained.loss)


@pytest.mark.parametrize("followed", [False, True])
def test_a_checkpoint_without_an_edge_network_keeps_the_one_from_the_file(path, followed):
    weights = {k: v for k, v in Model(SemedaLoss(path)).state_dict().items() if "loss" not in k}
    assert set(weights) == {"head.weight", "head.bias"}
    if followed:
        with no_pretrained_weights():
            model = Model(SemedaLoss(path))
    else:
        model = Model(SemedaLoss(path))
    model.load_state_dict(weights)
    assert value(model.loss) == value(SemedaLoss(path))


def test_a_missing_edge_network_is_an_error(path):
    with no_pretrained_weights():
        loss = SemedaLoss(path)
    with pytest.raises(InputError, match="is not loaded"):
        value(loss)


def test_copying_and_pickling_keep_the_edge_network(path, tmp_path):
    loss = SemedaLoss(path)
    torch.save(loss, tmp_path / "loss.pt")
    path.unlink()
    kept = torch.load(tmp_path / "loss.pt", weights_only=False)
    assert value(loss) == value(kept) == value(copy.deepcopy(loss))
