"""Mean absolute error of a regressed map."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_seg.losses.base import Loss, autocast_off, check_map_shapes, promote
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights, check_weights


@autocast_off
def map_l1(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Mean of ``|prediction - target|`` over the valid pixels and the channels.

    With class weights it is ``sum_k w_k e_k / sum_k w_k``, e_k the mean error of channel k.

    Args:
        prediction: (B, C, H, W) floating point, in the target's units.
        target: (B, C, H, W), the same shape.
        mask: (B, H, W) int64, read for ``ignore_index`` alone.
        class_weights: (C,) non-negative, or None for equal weights.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 predictions); 0 where no pixel is valid.

    Raises:
        ValueError: The shapes are not as above.
    """
    check_map_shapes(prediction, target, mask)
    check_weights(class_weights, prediction.shape[1])
    prediction = promote(prediction)
    valid = (mask != ignore_index).unsqueeze(1)
    error: Tensor = _SumOfErrors.apply(prediction, target.to(prediction.dtype), valid)
    per_channel = error / valid.sum().clamp(min=1)
    if class_weights is None:
        return per_channel.mean()
    weights = class_weights.to(per_channel)
    return (weights * per_channel).sum() / weights.sum()


class _SumOfErrors(torch.autograd.Function):
    """``|prediction - target|`` over the valid pixels, summed up channel by channel, (C,).

    An image at a time, and of its backward pass it keeps a byte a value, the error's sign.
    """

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        total = prediction.new_zeros(prediction.shape[1])
        signs = torch.empty_like(prediction, dtype=torch.int8)
        images = len(prediction) if torch.compiler.is_compiling() else 1
        parts = (maps.split(max(images, 1)) for maps in (prediction, target, valid, signs))
        for one, true, counts, sign in zip(*parts, strict=True):
            error = (one - true).masked_fill_(~counts, 0)
            sign.copy_(error.sign())
            total = total + error.abs_().sum(dim=(0, 2, 3))
        ctx.save_for_backward(signs)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (signs,) = ctx.saved_tensors
        return signs * outputs[0].view(1, -1, 1, 1), None, None


class MapL1Loss(Loss):
    """L1 between a predicted and a target map, as Audebert et al. (2019) regress distances.

    Args:
        class_weights: One weight a channel, the name of a balance that the training labels give
            (see `ClassWeights`), or None.
        ignore_index: Label of the pixels that count nowhere.
    """

    def __init__(
        self,
        class_weights: Sequence[float] | ClassBalance | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.class_weights = ClassWeights(class_weights)
        self.ignore_index = ignore_index

    def check_channels(self, channels: int) -> None:
        """Refuses weights for another number of channels."""
        self.class_weights.check_length(channels)

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and the mask (B, H, W) to a scalar; see `map_l1`."""
        weights = self.class_weights(prediction.shape[1])
        return map_l1(prediction, target, mask, weights, self.ignore_index)
