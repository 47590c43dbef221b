"""Any loss on logits for several labels per pixel, or for one sigmoid channel."""

import inspect
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError, check_choice
from lightning_seg.losses.base import Loss
from lightning_seg.losses.class_weights import ClassWeights

Average = Literal["micro", "macro"]


class MultiLabelLoss(Loss):
    """A loss on logits, applied to K labels that are independent of each other.

    Each label is a problem of two classes with one sigmoid: a channel z of the logits stands for
    the scores [0, z], whose softmax is [1 - sigmoid(z), sigmoid(z)]. With `CrossEntropyLoss` this
    is the binary cross entropy with logits. A single channel, K = 1, is a binary task.

    Called with logits (B, K, H, W) and a mask (B, K, H, W), or (B, H, W) for K = 1, of any type,
    which holds 0, 1 or the loss's ignore index. Pixels may be ignored for single labels.

    Args:
        loss: A loss on logits of two classes, such as ``DiceLoss(classes=[1])``, or any module
            called with ``(logits (B, 2, H, W), mask (B, H, W))``. Class weights are
            ``[1, positive]``. SEMEDA's edge network must be for two classes.
        average: ``"micro"`` calls the loss once, with each label of each image as an image;
            ``"macro"`` is the mean of the labels' losses. They differ only if the loss sums over
            the batch (``reduction="batch"``), or if whole labels are ignored in some images.

    Raises:
        InputError: A loss on maps or on several predictions, one for another number of classes, or
            one with a balance of classes that is counted from label maps.
        ValueError: An unknown average; when called, shapes that do not fit.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import CrossEntropyLoss, MultiLabelLoss
        >>> mask = torch.tensor([[[[0, 1, 1]], [[1, 1, 255]]]])  # two labels of three pixels
        >>> MultiLabelLoss(CrossEntropyLoss())(torch.zeros(1, 2, 1, 3), mask)
        tensor(0.6931)
    """

    def __init__(self, loss: Loss | nn.Module, average: Average = "micro") -> None:
        super().__init__()
        check_choice("average", average, Average)
        _check_loss(loss)
        self.loss = loss
        self.average: Average = average

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, K, H, W)."""
        if mask.ndim == 3:
            mask = mask.unsqueeze(1)
        if logits.ndim != 4 or mask.shape != logits.shape:
            raise ValueError(
                f"logits have the shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}, "
                "expected (B, K, H, W) twice, with a channel of 0 and 1 for each label"
            )
        # On other devices the check would wait for the device.
        checked = mask.device.type == "cpu" and not torch.compiler.is_compiling()
        if checked and mask.is_floating_point() and (mask != mask.round()).any():
            raise ValueError(
                "the mask holds fractions, expected 0, 1 and the ignore index; resize masks by "
                "nearest neighbour"
            )
        scores, labels = torch.stack([torch.zeros_like(logits), logits], dim=2), mask.long()
        value: Tensor
        if self.average == "micro":
            value = self.loss(scores.flatten(0, 1), labels.flatten(0, 1))
        else:
            pairs = zip(scores.unbind(1), labels.unbind(1), strict=True)
            value = torch.stack([self.loss(*pair) for pair in pairs]).mean()
        return value


def _check_loss(loss: nn.Module) -> None:
    name = type(loss).__name__
    required = [
        parameter.name
        for parameter in inspect.signature(loss.forward).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    if isinstance(loss, Loss) and required != ["logits", "mask"]:
        raise InputError(
            f"MultiLabelLoss takes a loss on logits, but {name} is called with "
            f"({', '.join(required)}); give one such as DiceLoss, and {name} as a term of its own"
        )
    for part in loss.modules():
        try:
            if isinstance(part, Loss):
                part.check_channels(2)
            elif isinstance(part, ClassWeights):
                part.check_length(2)
        except InputError as error:
            raise InputError(
                f"MultiLabelLoss({name}): each label is a problem of two classes, but {error}"
            ) from error
        if isinstance(part, ClassWeights) and part.balance is not None:
            raise InputError(
                f"MultiLabelLoss({name}): class_weights is {part.balance!r}, which counts the "
                "classes of label maps. Give two numbers, [1, weight of the label]."
            )
