"""Region scores, all computed from one confusion matrix.

torchmetrics has these scores too, but recounts for each one, works in float32, and scores a class
that is in neither map 0, like a class that is always missed. Here they are float64 ratios of the
counts of its `MulticlassConfusionMatrix`, and 0/0 is NaN.
"""

import torch
from torch import Tensor

from lightning_seg.metrics.functional.ratios import as_float64


def region_scores(confusion: Tensor) -> dict[str, Tensor]:
    """Return IoU, F1 (Dice coefficient), precision and recall (class accuracy).

    Args:
        confusion: Pixel counts (K, K); rows are the ground truth.

    Returns:
        float64 (K,) by name. NaN where the ratio is 0/0: for a class in neither map, in precision
        also for one that is never predicted, in recall also for one absent from the ground truth.

    Example:
        >>> region_scores(torch.tensor([[6, 2], [0, 4]]))["iou"]
        tensor([0.7500, 0.6667], dtype=torch.float64)
    """
    return scores_of_margins(*_margins(confusion))


def scores_of_margins(hits: Tensor, truth: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    """Return the same scores from correct, true and predicted pixels, float64 of any shape."""
    return {
        "iou": hits / (truth + predicted - hits),
        "f1": 2 * hits / (truth + predicted),
        "precision": hits / predicted,
        "recall": hits / truth,
    }


def accuracy(confusion: Tensor) -> Tensor:
    """Return the fraction of correct pixels, trace over total: float64, NaN without pixels.

    Eq. 7 of ResUNet-a (2020) omits the true positives and negatives from the denominator; that
    ratio is not an accuracy.

    Example:
        >>> accuracy(torch.tensor([[6, 2], [0, 4]]))
        tensor(0.8333, dtype=torch.float64)
    """
    hits, truth, _ = _margins(confusion)
    return hits.sum() / truth.sum()


def matthews(confusion: Tensor) -> Tensor:
    """Return the multiclass Matthews correlation (Gorodkin, 2004), float64 in [-1, 1].

    It is 0 if the prediction is constant, NaN if the ground truth is.

    Example:
        >>> matthews(torch.tensor([[6, 2], [0, 4]]))
        tensor(0.7071, dtype=torch.float64)
    """
    hits, truth, predicted = _margins(confusion)
    total = truth.sum()
    covariance = hits.sum() * total - (truth * predicted).sum()
    spread_truth = total.square() - truth.square().sum()
    spread_predicted = total.square() - predicted.square().sum()
    correlation = covariance / (spread_truth * spread_predicted).sqrt()
    constant = (spread_predicted == 0) & (spread_truth > 0)
    return torch.where(constant, 0.0, correlation)


def micro_matthews(confusion: Tensor) -> Tensor:
    """Return the Matthews correlation with counts pooled over the classes, as in ResUNet-a.

    Each wrong pixel is a false positive of one class and a false negative of another, so the
    result is a linear function of the accuracy: (K accuracy - 1) / (K - 1). float64, NaN without
    pixels.

    Example:
        >>> micro_matthews(torch.tensor([[6, 2], [0, 4]]))
        tensor(0.6667, dtype=torch.float64)
    """
    return (len(confusion) * accuracy(confusion) - 1) / (len(confusion) - 1)


def _margins(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = as_float64(confusion)
    return counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
