"""Mean absolute error of a regressed map."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_seg.errors import check_choice
from lightning_seg.losses.base import Loss, check_map_shapes, loss_function, promote, ratio
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights, check_weights

Weigh = Literal["pixels", "channels"]


@loss_function
def map_l1(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    class_weights: Tensor | None = None,
    weigh: Weigh = "pixels",
    ignore_index: int = 255,
) -> Tensor:
    """Mean of ``|prediction - target|`` over the valid pixels and the channels.

    Class weights w weight either pixels or channels. Pixels: ``sum_i w[y_i] e_i / sum_i w[y_i]``
    with y_i the true class of pixel i and e_i the mean error of its C channels. Channels:
    ``sum_c w[c] e_c / sum_c w[c]`` with e_c the mean error of channel c.

    Args:
        prediction: (B, C, H, W) floating point, in the units of the target.
        target: (B, C, H, W).
        mask: (B, H, W) int64 with labels 0..C-1 or ``ignore_index``; without class weights only
            ``ignore_index`` is read.
        class_weights: (C,) non-negative, or None for equal weights.
        weigh: Apply the class weights to ``"pixels"`` by their true class, or to ``"channels"``.
        ignore_index: Label of ignored pixels.

    Returns:
        Scalar >= 0, float32 (float64 for float64 predictions); 0 if no pixel is valid or all valid
        pixels have weight 0.
    """
    check_choice("weigh", weigh, Weigh)
    check_map_shapes(prediction, target, mask)
    check_weights(class_weights, prediction.shape[1])
    prediction = promote(prediction)
    target = target.to(prediction.dtype)
    valid = (mask != ignore_index).unsqueeze(1)
    if class_weights is not None and weigh == "pixels":
        labels = mask.unsqueeze(1).masked_fill(~valid, 0)
        pixel_weights = class_weights.to(prediction)[labels].masked_fill(~valid, 0)
        error: Tensor = _SumOfErrors.apply(prediction, target, valid, pixel_weights)
        return ratio(error.mean(), pixel_weights.sum())
    error = _SumOfErrors.apply(prediction, target, valid, None)
    per_channel = error / valid.sum().clamp(min=1)
    if class_weights is None:
        return per_channel.mean()
    weights = class_weights.to(per_channel)
    return (weights * per_channel).sum() / weights.sum()


class _SumOfErrors(torch.autograd.Function):
    """Sum of ``|prediction - target|`` over the valid pixels per channel, (C,).

    Pixels are optionally weighted by ``weights`` (B, 1, H, W). Images are processed one by one, and
    only the sign of the error is kept for the backward pass, one byte per value. The gain over
    autograd is measured by benchmarks/hand_written_backward.py.
    """

    @staticmethod
    def forward(
        ctx: Any, prediction: Tensor, target: Tensor, valid: Tensor, weights: Tensor | None
    ) -> Tensor:
        total = prediction.new_zeros(prediction.shape[1])
        signs = torch.empty_like(prediction, dtype=torch.int8)
        images = len(prediction) if torch.compiler.is_compiling() else 1
        counts = valid if weights is None else weights
        parts = (maps.split(max(images, 1)) for maps in (prediction, target, valid, counts, signs))
        for predicted, labelled, is_valid, count, sign in zip(*parts, strict=True):
            error = (predicted - labelled).masked_fill_(~is_valid, 0)
            sign.copy_(error.sign())
            error = error.abs_()
            total = total + (error if weights is None else error * count).sum(dim=(0, 2, 3))
        ctx.save_for_backward(signs, weights)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None, None]:
        signs, weights = ctx.saved_tensors
        gradient = signs * outputs[0].view(1, -1, 1, 1)
        return gradient if weights is None else gradient * weights, None, None, None


class MapL1Loss(Loss):
    """L1 between a predicted and a target map, as in Audebert et al. (2019); see `map_l1`.

    Args:
        class_weights: One weight per class, the name of a balance to count from the training labels
            (see `ClassWeights`), or None.
        weigh: Apply the weights to ``"pixels"`` by their true class, which favours accurate
            distances in rare classes, or to ``"channels"``, which does not change the median that
            a channel learns. The paper leaves this open.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: Invalid class weights, or an unknown ``weigh``.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import MapL1Loss
        >>> prediction = torch.full((1, 1, 2, 3), 0.5)
        >>> target = torch.tensor([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> MapL1Loss()(prediction, target, mask)
        tensor(0.5000)
    """

    weigh: Weigh = "channels"  # for losses pickled before this option existed

    def __init__(
        self,
        class_weights: Sequence[float] | ClassBalance | None = None,
        weigh: Weigh = "pixels",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_choice("weigh", weigh, Weigh)
        self.class_weights = ClassWeights(class_weights)
        self.weigh = weigh
        self.ignore_index = ignore_index

    def check_channels(self, channels: int) -> None:
        """Raise unless there is one class weight per channel."""
        self.class_weights.check_length(channels)

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of two maps (B, C, H, W) and the mask (B, H, W); see `map_l1`."""
        weights = self.class_weights(prediction.shape[1])
        return map_l1(prediction, target, mask, weights, self.weigh, self.ignore_index)
