"""Detection of operations that sync with a GPU, without a GPU.

A program syncs with its GPU when it reads a value, creates a tensor whose size depends on values,
or copies between host and device (except from pinned memory). Fake tensors raise for the first two,
`_NoTransfers` for the third.
"""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _NoTransfers(TorchDispatchMode):
    """Raises if an operation mixes tensors (other than scalars) of two devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs, out))
        devices = {x.device.type for x in leaves if isinstance(x, torch.Tensor) and x.ndim}
        assert len(devices) < 2, f"{func} moves between {' and '.join(sorted(devices))}"
        return out


def check_never_waits(make, inputs):
    """Assert that a loss and its gradient never sync with the device.

    Args:
        make: Makes the loss.
        inputs: Makes what it is called with on a device, the prediction first.
    """
    with FakeTensorMode():
        with torch.device("cuda"):
            loss = make()
        tensors = inputs("cuda")
        tensors[0].requires_grad_()
        with _NoTransfers():
            assert loss(*tensors).device.type == "cuda"
    # Fake GPUs know no backward pass, tensors of the device "meta" do.
    loss, tensors = make().to("meta"), inputs("meta")
    tensors[0].requires_grad_()
    with _NoTransfers():
        loss(*tensors).backward()
    assert tensors[0].grad.shape == tensors[0].shape
