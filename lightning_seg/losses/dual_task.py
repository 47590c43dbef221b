"""The dual-task regulariser of Gated-SCNN: classes and edges agree."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses.base import (
    Loss,
    autocast_off,
    check_number,
    check_shapes,
    mean_where,
    promote,
)
from lightning_seg.losses.probabilities import masked_probabilities, true_class_nll

_NO_BOUNDARY = 1e-3
"""Potentials below are those of flat places: the paper's pixels "of non-zero" have more."""


@autocast_off
def dual_task(
    logits: Tensor,
    edge: Tensor,
    mask: Tensor,
    boundary_weight: float = 1.0,
    attention_weight: float = 1.0,
    threshold: float = 0.8,
    temperature: float = 1.0,
    noise: bool = False,
    sigma: float = 2.0,
    ignore_index: int = 255,
) -> Tensor:
    """Boundaries of the predicted classes, and classes at predicted edges (Takikawa et al. 2019).

    The sum of two terms (section 3.3, equations 6 to 8):

    - The boundary potential ``|grad(G * p)| / sqrt(2)``, the norm over classes and both directions
      of the Sobel gradient of the smoothed softmax, is compared with the labels', absolutely: the
      mean over the pixels where the prediction has a boundary and the mean over those where the
      labels have one, averaged. Here potentials are scaled so that a straight edge's is 1.
    - The cross entropy's mean over the pixels whose predicted probability of an edge is above the
      threshold. The edges get no gradient from it.

    The authors' code divides potentials by the batch's maximum instead, and as published leaves out
    both smoothing and gradient, so that its potentials are the probabilities themselves.

    Args:
        logits: (B, K, H, W) floating point.
        edge: (B, 1, H, W) probabilities of an edge.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        boundary_weight: Factor on the first term.
        attention_weight: Factor on the second term.
        threshold: Probability above which a pixel is an edge.
        temperature: Of the softmax that stands in for the largest class; the lower, the harder. The
            authors' code has 0.5.
        noise: Add Gumbel noise to the logits in the first term, so that the softmax is a sample of
            the classes.
        sigma: Standard deviation in pixels of the Gaussian G. The paper gives none; the triangle of
            radius 4 in the authors' code has 2.
        ignore_index: Label of the pixels that count nowhere; there prediction and labels alike are
            0, so that the border of void is an edge of both.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 where no pixel is valid.

    Raises:
        ValueError: Shapes that do not go together, a single class, a threshold outside [0, 1], or a
            negative number elsewhere.
    """
    _check(boundary_weight, attention_weight, threshold, temperature, sigma)
    check_shapes(logits, mask)
    if edge.shape != (logits.shape[0], 1, *logits.shape[2:]):
        raise ValueError(
            f"edge has the shape {tuple(edge.shape)}, expected {(len(logits), 1)} and the logits' "
            f"height and width, {tuple(logits.shape[2:])}: upsample it to the size of the labels"
        )
    valid = mask != ignore_index
    scores = promote(logits)
    if noise:
        scores = scores + _gumbel(scores)
    probabilities, labels = masked_probabilities(scores / temperature, mask, ignore_index)
    found = _boundary_potential(probabilities, sigma)
    truth = _boundary_potential(labels.to(probabilities.dtype), sigma)
    difference = (found - truth).abs()
    boundary = sum(
        0.5 * mean_where(difference, valid & (potential.detach() > _NO_BOUNDARY))
        for potential in (found, truth)
    )
    at_edges = valid & (edge.detach().squeeze(1) > threshold)
    attention = mean_where(true_class_nll(logits, mask, ignore_index), at_edges)
    return boundary_weight * boundary + attention_weight * attention


def _boundary_potential(maps: Tensor, sigma: float) -> Tensor:
    """(B, K, H, W) to (B, H, W): 0 in flat places, 1 on both sides of a straight edge of 1."""
    gaussian = _gaussian(sigma, maps)
    middle = len(gaussian) // 2
    of_straight_edge = gaussian[middle : middle + 2].sum() / 2
    slope = torch.arange(-1, 2, device=maps.device, dtype=maps.dtype) / 2
    mean = torch.where(slope == 0, 2.0, 1.0) / 4
    smooth = _along(_along(maps, gaussian, 2), gaussian, 3)
    down = _along(_along(smooth, slope, 2), mean, 3)
    right = _along(_along(smooth, mean, 2), slope, 3)
    squared = (down.square() + right.square()).sum(dim=1) / 2
    tiny = 1e-12  # whose root's gradient is finite where nothing changes
    return (squared + tiny).sqrt() / of_straight_edge


def _along(maps: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlates rows or columns with a kernel, the border's values repeated outside."""
    reach = len(kernel) // 2
    planes = maps.flatten(0, 1).unsqueeze(1)
    if dim == 2:
        planes, weight = F.pad(planes, (0, 0, reach, reach), mode="replicate"), kernel[:, None]
    else:
        planes, weight = F.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel[None]
    return F.conv2d(planes, weight[None, None]).view_as(maps)


def _gaussian(sigma: float, like: Tensor) -> Tensor:
    reach = math.ceil(3 * sigma)
    place = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    weights = torch.exp(-place.square() / (2 * sigma**2)) if sigma else place + 1
    return weights / weights.sum()


def _gumbel(like: Tensor) -> Tensor:
    """A sample of Gumbel(0, 1) for every score."""
    return -torch.empty_like(like).exponential_().clamp(min=torch.finfo(like.dtype).tiny).log()


class DualTaskLoss(Loss):
    """The dual-task regulariser of `GSCNN` (Takikawa et al. 2019), see `dual_task`.

    Called ``(logits, edge, mask)`` with the predictions of `EdgeHead`, beside the cross entropy of
    the classes and the balanced one of the edges.

    Args:
        boundary_weight: Factor on the differences of boundaries; 1 in the paper.
        attention_weight: Factor on the cross entropy at predicted edges; 1 in the paper.
        threshold: Probability above which a pixel is an edge.
        temperature: Of the softmax that stands in for the largest class.
        gumbel: Add Gumbel noise in training, as the paper does; never in evaluation.
        sigma: Standard deviation in pixels of the Gaussian that smooths the classes.
        ignore_index: Label of the pixels that count nowhere.

    Raises:
        ValueError: A threshold outside [0, 1], or a negative number elsewhere.
    """

    def __init__(
        self,
        boundary_weight: float = 1.0,
        attention_weight: float = 1.0,
        threshold: float = 0.8,
        temperature: float = 1.0,
        gumbel: bool = True,
        sigma: float = 2.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _check(boundary_weight, attention_weight, threshold, temperature, sigma)
        self.boundary_weight = boundary_weight
        self.attention_weight = attention_weight
        self.threshold = threshold
        self.temperature = temperature
        self.gumbel = gumbel
        self.sigma = sigma
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, edge: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K, H, W), edges (B, 1, H, W) and mask (B, H, W) to a scalar."""
        return dual_task(
            logits,
            edge,
            mask,
            self.boundary_weight,
            self.attention_weight,
            self.threshold,
            self.temperature,
            self.gumbel and self.training,
            self.sigma,
            self.ignore_index,
        )


def _check(
    boundary_weight: float,
    attention_weight: float,
    threshold: float,
    temperature: float,
    sigma: float,
) -> None:
    check_number("boundary_weight", boundary_weight)
    check_number("attention_weight", attention_weight)
    check_number("sigma", sigma)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}, expected a probability in [0, 1]")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
