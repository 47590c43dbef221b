"""Dual-task regulariser of Gated-SCNN: consistency of classes and edges."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_seg.losses._probabilities import masked_probabilities, true_class_nll
from lightning_seg.losses.base import (
    Loss,
    check_number,
    check_shapes,
    loss_function,
    mean_where,
    valid_scores,
)

_NO_BOUNDARY = 1e-3
"""Boundary potentials up to this count as zero."""


@loss_function
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
    """Consistency of predicted classes and predicted edges (Takikawa et al. 2019).

    The sum of two terms (section 3.3, equations 6 to 8):

    - L1 between the boundary potentials of prediction and labels. The potential is
      ``|grad(G * p)| / sqrt(2)``, the norm over classes and both directions of the Sobel gradient
      of the smoothed softmax, scaled so that a straight edge has a potential of 1. Half the mean
      over the pixels where the prediction has a boundary, plus half that over the pixels where the
      labels have one.
    - Mean cross entropy over the pixels whose predicted edge probability exceeds the threshold.
      It passes no gradient to the edges.

    The authors' code divides potentials by the maximum of the batch instead. As published it skips
    both the smoothing and the gradient, so its potentials are the probabilities themselves.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    ``edge`` (B, 1, H, W) holds edge probabilities. ``noise`` adds Gumbel noise to the logits in
    the first term, which turns the softmax into a relaxed sample of the classes. Options and
    errors as in `DualTaskLoss`.

    Returns:
        Scalar >= 0, float32 (float64 for float64 logits); 0 if no pixel is valid.
    """
    _check(boundary_weight, attention_weight, threshold, temperature, sigma)
    check_shapes(logits, mask)
    if edge.shape != (logits.shape[0], 1, *logits.shape[2:]):
        raise ValueError(
            f"edge has the shape {tuple(edge.shape)}, expected {(len(logits), 1)} and the logits' "
            f"height and width, {tuple(logits.shape[2:])}: upsample it to the size of the labels"
        )
    valid = mask != ignore_index
    scores = valid_scores(logits, mask, ignore_index)
    if noise:
        scores = scores + _gumbel(scores)
    probabilities, labels = masked_probabilities(scores / temperature, mask, ignore_index)
    predicted = _boundary_potential(probabilities, sigma)
    labelled = _boundary_potential(labels.to(probabilities.dtype), sigma)
    difference = (predicted - labelled).abs()
    at_predicted = mean_where(difference, valid & (predicted.detach() > _NO_BOUNDARY))
    at_labelled = mean_where(difference, valid & (labelled > _NO_BOUNDARY))
    boundary = (at_predicted + at_labelled) / 2
    at_edges = valid & (edge.detach().squeeze(1) > threshold)
    attention = mean_where(true_class_nll(logits, mask, ignore_index), at_edges)
    return boundary_weight * boundary + attention_weight * attention


def _boundary_potential(maps: Tensor, sigma: float) -> Tensor:
    """Boundary potential (B, H, W) of (B, K, H, W): 0 in flat areas, 1 at a straight unit step."""
    gaussian = _gaussian(sigma, maps)
    middle = len(gaussian) // 2
    of_straight_edge = gaussian[middle : middle + 2].sum() / 2
    slope = torch.arange(-1, 2, device=maps.device, dtype=maps.dtype) / 2
    mean = (1 - slope.abs()) / 2  # 1/4, 1/2, 1/4
    smooth = _along(_along(maps, gaussian, 2), gaussian, 3)
    down = _along(_along(smooth, slope, 2), mean, 3)
    right = _along(_along(smooth, mean, 2), slope, 3)
    squared = (down.square() + right.square()).sum(dim=1) / 2
    changes = squared > 0  # the gradient of the root at 0 is infinite
    return torch.where(changes, squared.where(changes, 1.0).sqrt(), 0.0) / of_straight_edge


def _along(maps: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlate rows or columns with a kernel, with replicated borders."""
    reach = len(kernel) // 2
    planes = maps.flatten(0, 1).unsqueeze(1)
    if dim == 2:
        planes, weight = F.pad(planes, (0, 0, reach, reach), mode="replicate"), kernel[:, None]
    else:
        planes, weight = F.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel[None]
    return F.conv2d(planes, weight[None, None]).view_as(maps)


def _gaussian(sigma: float, like: Tensor) -> Tensor:
    reach = math.ceil(3 * sigma)
    position = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    weights = torch.exp(-position.square() / (2 * sigma**2)) if sigma else position + 1
    return weights / weights.sum()


def _gumbel(like: Tensor) -> Tensor:
    """Sample Gumbel(0, 1) noise for every score."""
    return -torch.empty_like(like).exponential_().clamp(min=torch.finfo(like.dtype).tiny).log()


class DualTaskLoss(Loss):
    """Dual-task regulariser of `GSCNN` (Takikawa et al. 2019), see `dual_task`.

    Called as ``(logits, edge, mask)`` with the predictions of `EdgeHead`, in addition to the cross
    entropy of the classes and the balanced cross entropy of the edges.

    Args:
        boundary_weight: Factor on the boundary term; 1 in the paper.
        attention_weight: Factor on the cross entropy at predicted edges; 1 in the paper.
        threshold: Probability above which a pixel is an edge.
        temperature: Temperature of the softmax that replaces the argmax; the lower, the harder. The
            authors' code has 0.5.
        gumbel: Add Gumbel noise in training, as the paper does; never in evaluation.
        sigma: Standard deviation of the Gaussian G in pixels. The paper gives no value; 2 is that
            of the triangle filter of radius 4 in the authors' code.
        ignore_index: Label of ignored pixels. Prediction and labels are both 0 there, so the border
            of void is an edge in both.

    Raises:
        ValueError: A threshold outside [0, 1], or a negative value of another option.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import DualTaskLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> edge = torch.ones(1, 1, 2, 3)
        >>> DualTaskLoss(gumbel=False)(logits, edge, mask)
        tensor(1.2469)
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
        """Return the loss of logits (B, K, H, W), edges (B, 1, H, W) and the mask (B, H, W)."""
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
