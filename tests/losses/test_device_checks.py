"""The sync check detects operations that sync with a device."""

import pytest
import torch
from device_checks import check_never_waits
from torch import nn

WAITING = {
    "a value": lambda x, mask: x.sum() * x.sum().item(),
    "a condition": lambda x, mask: x.sum() if mask.any() else x.mean(),
    "a size": lambda x, mask: x.sum() + mask.nonzero().sum(),
    "pixels chosen by a mask": lambda x, mask: x[:, 0][mask > 0].sum(),
    "an index of numbers": lambda x, mask: x[:, [0, 2]].sum(),
    "a tensor of numbers": lambda x, mask: (x[0, 0, 0] * x.new_tensor([1.0] * 5)).sum(),
    "a tensor of the host": lambda x, mask: (x + torch.ones(5)).sum(),
}


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.shape = x.shape
        return x.sum()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.item() * torch.ones(ctx.shape, device=gradient.device)


class Loss(nn.Module):
    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, x, mask):
        return self.formula(x, mask)


def inputs(device):
    mask = torch.empty(2, 4, 5, device=device, dtype=torch.long)
    return torch.empty(2, 3, 4, 5, device=device), mask


@pytest.mark.parametrize("formula", WAITING.values(), ids=WAITING.keys())
def test_a_forward_pass_that_syncs_is_detected(formula):
    with pytest.raises((RuntimeError, AssertionError, NotImplementedError)):
        check_never_waits(lambda: Loss(formula), inputs)


def test_a_backward_pass_that_syncs_is_detected():
    with pytest.raises(RuntimeError):
        check_never_waits(lambda: Loss(lambda x, mask: Backward.apply(x)), inputs)


def test_a_loss_without_a_sync_passes():
    check_never_waits(lambda: Loss(lambda x, mask: (x.softmax(1)[:, 0] * (mask > 0)).sum()), inputs)
