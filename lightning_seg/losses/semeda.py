"""SEMEDA: prediction and truth compared in what an edge network makes of them."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.errors import InputError
from lightning_seg.losses.base import (
    Loss,
    check_choice,
    check_shapes,
)
from lightning_seg.losses.probability_loss import VOID, probability_loss
from lightning_seg.networks import EdgeNetwork, pretrained_weights_wanted
from lightning_seg.networks.edge_network import WIDTHS, activated
from lightning_seg.targets._one_hot import one_hot

Reduction = Literal["pixel", "mean"]


def semeda(
    logits: Tensor,
    mask: Tensor,
    edge_network: EdgeNetwork,
    weights: Sequence[float] = (2.0, 4.0, 0.0),
    reduction: Reduction = "mean",
    ignore_index: int = 255,
) -> Tensor:
    """``sum_l w_l |psi_l(softmax(logits)) - psi_l(onehot)|_1``, psi_l the outputs of layer l.

    Equations 4 and 5 of Chen et al. (2020), which are plain sums over pixels; like their cross
    entropy they are divided by the number of (valid) pixels here. Gradients flow through the
    prediction alone. Layers after the last weight that is not 0 are not computed.

    Void pixels are 0 in all channels of both inputs, and what the layers give there is left out.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        edge_network: A trained network for K classes.
        weights: One a layer.
        reduction: ``"mean"`` averages over a layer's channels and the valid pixels, ``"pixel"``
            sums over the channels, which makes the terms 16, 32 and 2 times larger.
        ignore_index: Label of the pixels that count nowhere.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        InputError: The network is for another number of classes.
        ValueError: The shapes do not fit each other; a single class; weights or a reduction that
            `SemedaLoss` refuses.
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
    """The L1 terms summed over pixels, and their gradient, layer by layer and back."""
    valid = labels != VOID
    counts = valid.unsqueeze(1).to(probabilities.dtype)
    layers = [(kernel.to(counts.dtype), bias.to(counts.dtype)) for kernel, bias in layers]
    found, total, slopes = [probabilities], counts.new_zeros(()), []
    expected = one_hot(labels, probabilities.shape[1], VOID, probabilities.dtype)
    for number, (layer, share) in enumerate(zip(layers, shares, strict=True)):
        found.append(activated(F.conv2d(found[-1], *layer, padding=1), number))
        expected = activated(F.conv2d(expected, *layer, padding=1), number)
        if share:
            error = (found[-1] - expected).mul_(counts)
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
        assert gradient is not None  # the last of the layers has a weight
        gradient = _input_gradient(gradient, found[number + 1], number)
        gradient = _convolution_gradient(gradient, found[number], layers[number][0])
    return total, valid.sum(), gradient


def _input_gradient(gradient: Tensor, psi: Tensor, layer: int) -> Tensor:
    """Back through the activation that gave ``psi``."""
    if layer == len(WIDTHS) - 1:
        along = (gradient * psi).sum(dim=1, keepdim=True)
        return gradient.sub_(along).mul_(psi)
    found: Tensor = torch.ops.aten.threshold_backward(gradient, psi, 0)
    return found


def _convolution_gradient(gradient: Tensor, maps: Tensor, kernel: Tensor) -> Tensor:
    """Back through the convolution of ``maps``, whose layout it has."""
    sides, only_maps = [1, 1], [True, False, False]
    gradients = torch.ops.aten.convolution_backward(
        gradient, maps, kernel, None, sides, sides, sides, False, [0, 0], 1, only_maps
    )
    found: Tensor = gradients[0]
    return found


class SemedaLoss(Loss):
    """SEMEDA (Chen et al. 2020): matches what a frozen edge network sees in prediction and truth.

    It is added to the cross entropy, which it does not contain. The edge network is trained
    beforehand on label maps alone, see `lightning_seg.tasks.EdgeDetectionTask`. Checkpoints of the
    trained model carry it along, so that its own file is needed once, to start training.

    Args:
        edge_network: The path of its checkpoint, or the network itself, which is frozen.
        weights: One for each of its three layers: (2, 4, 0) is the paper's for VOC, (4, 2, 0) for
            Cityscapes; the last layer's did not help.
        reduction: ``"mean"`` or ``"pixel"``, see `semeda`. The paper's sums leave both open, but
            its weights speak for the mean: with (2, 4, 0) its gradient is about that of cross
            entropy, and that of ``"pixel"`` some 20 to 50 times as large.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        InputError: There is no such file, or it is no checkpoint of an edge network; (when called)
            the edge network is for another number of classes.
        ValueError: Other than three weights, a negative one, all of them 0; an unknown reduction.
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
        """Refuses an edge network, where it is read already, for another number of classes."""
        if self.edge_network is not None:
            self.edge_network.check_num_classes(channels)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W) and mask (B, H, W) to a scalar; see `semeda`."""
        if self.edge_network is None:
            raise InputError(
                f"the edge network {self.path} was not read, because a checkpoint of the trained "
                "model was expected to bring it; load that checkpoint first"
            )
        return semeda(
            logits, mask, self.edge_network, self.weights, self.reduction, self.ignore_index
        )

    def train(self, mode: bool = True) -> Self:
        """Sets the loss's mode; the edge network stays in evaluation."""
        super().train(mode)
        if self.edge_network is not None:
            self.edge_network.eval()
        return self

    def _adopt(self, network: EdgeNetwork) -> None:
        self.edge_network = network.requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Takes the edge network that a checkpoint brings; without one, the file's stays."""
        prefix_here = f"{prefix}edge_network."
        brought = {
            name.removeprefix(prefix_here): weight
            for name, weight in state_dict.items()
            if name.startswith(prefix_here)
        }
        if brought and self.edge_network is None:
            self._adopt(EdgeNetwork.from_state_dict(brought))
        elif not brought:
            if self.edge_network is None and self.path is not None:
                self._adopt(EdgeNetwork.from_checkpoint(self.path))
            assert self.edge_network is not None
            for name, weight in self.edge_network.state_dict().items():
                state_dict[prefix_here + name] = weight  # none of them is missed
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check(weights: Sequence[float], reduction: str) -> None:
    usable = all(0 <= weight < math.inf for weight in weights)
    if len(weights) != len(WIDTHS) or not usable or not any(weights):
        raise ValueError(
            f"weights is {list(weights)}, expected a number of 0 or more for each of the "
            f"{len(WIDTHS)} layers of the edge network, and one above 0"
        )
    check_choice("reduction", reduction, Reduction)
