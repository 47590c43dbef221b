"""SEMEDA: prediction and labels compared in the embedding space of an edge network."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import InputError, check_choice
from lightning_seg.losses._probability_loss import VOID, probability_loss
from lightning_seg.losses.base import Loss, check_shapes, loss_function
from lightning_seg.networks import EdgeNetwork, pretrained_weights_wanted
from lightning_seg.networks.edge_network import WIDTHS, activated
from lightning_seg.targets._masks import one_hot

Reduction = Literal["pixel", "mean"]


@loss_function
def semeda(
    logits: Tensor,
    mask: Tensor,
    edge_network: EdgeNetwork,
    weights: Sequence[float] = (2.0, 4.0, 0.0),
    reduction: Reduction = "mean",
    ignore_index: int = 255,
) -> Tensor:
    """``sum_l w_l |psi_l(softmax(logits)) - psi_l(onehot)|_1``, psi_l the output of layer l.

    Equations 4 and 5 of Chen et al. (2020). Theirs are plain sums over pixels; here they are
    divided by the number of valid pixels, like their cross entropy. Gradients flow only through the
    prediction. Layers after the last non-zero weight are not computed.

    Void pixels are 0 in all channels of both inputs, and the layers' outputs there are ignored.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    Options and errors as in `SemedaLoss`.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    _check(weights, reduction)
    check_shapes(logits, mask)
    edge_network.check_num_classes(logits.shape[1])
    layers = max(number for number, weight in enumerate(weights, 1) if weight)
    shares = tuple(
        weight / width if reduction == "mean" else weight
        for weight, width in zip(weights[:layers], WIDTHS)
    )
    term = partial(_terms, layers=edge_network.layers(layers), shares=shares)
    return probability_loss(logits, mask, term, ignore_index, channels_last=True)


def _terms(
    probabilities: Tensor,
    labels: Tensor,
    gradient_wanted: bool,
    *,
    layers: Sequence[tuple[Tensor, Tensor]],
    shares: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the sum of the L1 terms, the number of pixels and the gradient."""
    valid = labels != VOID
    counts = valid.unsqueeze(1).to(probabilities.dtype)
    layers = [(kernel.to(counts.dtype), bias.to(counts.dtype)) for kernel, bias in layers]
    predicted, total, slopes = [probabilities], counts.new_zeros(()), []
    expected = one_hot(labels, probabilities.shape[1], VOID, probabilities.dtype)
    for number, (layer, share) in enumerate(zip(layers, shares, strict=True)):
        predicted.append(activated(F.conv2d(predicted[-1], *layer, padding=1), number))
        expected = activated(F.conv2d(expected, *layer, padding=1), number)
        if share:
            error = (predicted[-1] - expected).mul_(counts)
            slopes.append(error.sign().mul_(share) if gradient_wanted else None)
            total = total + share * error.abs_().sum()
        else:
            slopes.append(None)
    if not gradient_wanted:
        return total, valid.sum(), None

    gradient: Tensor | None = None
    for number in reversed(range(len(layers))):
        slope = slopes[number]
        if gradient is None:
            gradient = slope
        elif slope is not None:
            gradient.add_(slope)
        assert gradient is not None  # the last layer has a weight
        gradient = _input_gradient(gradient, predicted[number + 1], number)
        gradient = _convolution_gradient(gradient, predicted[number], layers[number][0])
    return total, valid.sum(), gradient


def _input_gradient(gradient: Tensor, psi: Tensor, layer: int) -> Tensor:
    """Backward pass of the activation with output ``psi``."""
    if layer == len(WIDTHS) - 1:
        along = (gradient * psi).sum(dim=1, keepdim=True)
        return gradient.sub_(along).mul_(psi)
    result: Tensor = torch.ops.aten.threshold_backward(gradient, psi, 0)
    return result


def _convolution_gradient(gradient: Tensor, maps: Tensor, kernel: Tensor) -> Tensor:
    """Backward pass of the convolution of ``maps``, in the layout of ``maps``."""
    sides, only_maps = [1, 1], [True, False, False]
    gradients = torch.ops.aten.convolution_backward(
        gradient, maps, kernel, None, sides, sides, sides, False, [0, 0], 1, only_maps
    )
    result: Tensor = gradients[0]
    return result


class SemedaLoss(Loss):
    """SEMEDA (Chen et al. 2020): L1 between embeddings of prediction and labels.

    Add it to the cross entropy. The embeddings are layers of a frozen edge network, trained
    beforehand on label maps alone, see `lightning_seg.tasks.EdgeDetectionTask`. Checkpoints of the
    trained model include the edge network; its own file is needed only to start training.

    Args:
        edge_network: Path of its checkpoint, or the network itself, which is frozen.
        weights: One for each of its three layers. The paper has (2, 4, 0) for VOC and (4, 2, 0) for
            Cityscapes; the last layer did not help.
        reduction: ``"mean"`` averages over the channels of a layer and the valid pixels;
            ``"pixel"`` sums over the channels, which makes the terms 16, 32 and 2 times larger. The
            paper allows both readings, but its weights suggest the mean: with (2, 4, 0) the
            gradient is about 0.5 to 4 times that of the cross entropy, with ``"pixel"`` 13 to 110
            times (docs/losses.md).
        ignore_index: Label of ignored pixels.

    Raises:
        InputError: The file is missing or not the checkpoint of an edge network; when called, the
            edge network is for another number of classes.
        ValueError: Not three weights, a negative one, or all 0; an unknown reduction.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import SemedaLoss
        >>> from lightning_seg.networks import EdgeNetwork
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3, requires_grad=True)
        >>> loss = SemedaLoss(EdgeNetwork(num_classes=2))  # in practice a trained edge network
        >>> loss(logits, mask).backward()
        >>> logits.grad.shape
        torch.Size([1, 2, 2, 3])
    """

    def __init__(
        self,
        edge_network: str | Path | EdgeNetwork,
        weights: tuple[float, float, float] = (2.0, 4.0, 0.0),
        reduction: Reduction = "mean",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(weights, reduction)
        self.weights = tuple(weights)
        self.reduction = reduction
        self.ignore_index = ignore_index
        self.path: Path | None = None
        self.edge_network: EdgeNetwork | None = None
        if isinstance(edge_network, EdgeNetwork):
            self._adopt(edge_network)
        else:
            self.path = Path(edge_network)
            if pretrained_weights_wanted():
                self._adopt(EdgeNetwork.from_checkpoint(self.path))

    def check_channels(self, channels: int) -> None:
        """Raise if the edge network is loaded and for another number of classes."""
        if self.edge_network is not None:
            self.edge_network.check_num_classes(channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits (B, K, H, W) and mask (B, H, W); see `semeda`."""
        if self.edge_network is None:
            raise InputError(
                f"the edge network {self.path} is not loaded: a checkpoint of the trained model "
                "should provide it; load that checkpoint first"
            )
        return semeda(
            logits, mask, self.edge_network, self.weights, self.reduction, self.ignore_index
        )

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the loss; the edge network stays in evaluation mode."""
        super().train(mode)
        if self.edge_network is not None:
            self.edge_network.eval()
        return self

    def _adopt(self, network: EdgeNetwork) -> None:
        self.edge_network = network.requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load the edge network from the checkpoint, or keep the current one if it has none."""
        prefix_here = f"{prefix}edge_network."
        loaded = {
            name.removeprefix(prefix_here): weight
            for name, weight in state_dict.items()
            if name.startswith(prefix_here)
        }
        if loaded and self.edge_network is None:
            self._adopt(EdgeNetwork.from_state_dict(loaded))
        elif not loaded:
            if self.edge_network is None and self.path is not None:
                self._adopt(EdgeNetwork.from_checkpoint(self.path))
            assert self.edge_network is not None
            for name, weight in self.edge_network.state_dict().items():
                state_dict[prefix_here + name] = weight  # so that no key is missing
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check(weights: Sequence[float], reduction: str) -> None:
    usable = all(0 <= weight < math.inf for weight in weights)
    if len(weights) != len(WIDTHS) or not usable or not any(weights):
        raise ValueError(
            f"weights is {list(weights)}, expected a number of 0 or more for each of the "
            f"{len(WIDTHS)} layers of the edge network, and one above 0"
        )
    check_choice("reduction", reduction, Reduction)
