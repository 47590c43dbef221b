"""Scores of regions, all from one confusion matrix.

torchmetrics has these scores too, but counts them anew for each, in float32, and gives a class that
is in neither map 0, which then looks like a class that is always missed. Here they are quotients of
the counts that its `MulticlassConfusionMatrix` made, in float64, and 0/0 is NaN.
"""

import torch
from torch import Tensor

from lightning_seg.metrics.functional.ratios import as_float64


def region_scores(confusion: Tensor) -> dict[str, Tensor]:
    """IoU, F1 (the Dice coefficient), precision and recall (also called class accuracy).

    Args:
        confusion: Pixels (K, K), rows are the truth.

    Returns:
        float64 (K,) by name. NaN where it is 0/0: a class in neither map, for precision one that is
        never predicted, for recall one that is not in the truth.
    """
    return scores_of_margins(*_margins(confusion))


def scores_of_margins(hits: Tensor, truth: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    """The same scores of pixels right, in the truth and predicted, float64 of any one shape."""
    return {
        "iou": hits / (truth + predicted - hits),
        "f1": 2 * hits / (truth + predicted),
        "precision": hits / predicted,
        "recall": hits / truth,
    }


def accuracy(confusion: Tensor) -> Tensor:
    """Share of right pixels, trace over total: float64, NaN without pixels.

    ResUNet-a (2020) prints it (Eq. 7) without the true positives and negatives in the denominator,
    which is no share any more.
    """
    hits, truth, _ = _margins(confusion)
    return hits.sum() / truth.sum()


def matthews(confusion: Tensor) -> Tensor:
    """Matthews correlation of more than two classes (Gorodkin, 2004), in [-1, 1]: float64.

    0 where the prediction is the same everywhere, NaN where the truth is.
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
    """Matthews correlation of true and false positives and negatives pooled over the classes.

    ResUNet-a's reading. Each wrong pixel is a false positive of one class and a false negative of
    another, so it says what the accuracy says: (K accuracy - 1) / (K - 1). float64, NaN without
    pixels.
    """
    return (len(confusion) * accuracy(confusion) - 1) / (len(confusion) - 1)


def _margins(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = as_float64(confusion)
    return counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
