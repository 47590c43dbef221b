import copy

import torch
from torch import nn

from lightning_seg.networks import depthwise_in_float32


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    return model, torch.rand(2, 8, 16, 16)


def test_depthwise_convolutions_stay_in_float32_under_autocast():
    model, image = network()
    depthwise_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        pointwise = model[0](image)
        output = copy.deepcopy(model)(image)
    assert pointwise.dtype == torch.bfloat16
    assert output.dtype == torch.float32
    assert torch.equal(output, model[1](pointwise.float()))


def test_without_autocast_nothing_changes():
    model, image = network()
    plain = copy.deepcopy(model)
    depthwise_in_float32(model)
    assert torch.equal(model(image), plain(image))
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(model.bfloat16()(image.bfloat16()), plain.bfloat16()(image.bfloat16()))
