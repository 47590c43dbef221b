"""Class probabilities: from scores, back to scores, and their entropy."""

import math

import torch
from torch import Tensor


def probabilities_of(scores: Tensor, multi_label: bool = False) -> Tensor:
    """Return the softmax of scores (B, K, H, W), or their sigmoids."""
    return scores.sigmoid() if multi_label else scores.softmax(dim=1)


def normalized_entropy(probabilities: Tensor) -> Tensor:
    """Compute the entropy (..., 1, H, W) of probabilities (..., K, H, W), over that of K equal.

    It is 0 where one class is certain, and 1 where all classes are equally probable.
    """
    entropy = torch.special.entr(probabilities).sum(dim=-3, keepdim=True)
    return (entropy / math.log(probabilities.shape[-3])).clamp_(0, 1)


def scores_of(probabilities: Tensor, multi_label: bool = False) -> Tensor:
    """Return scores whose softmax, or sigmoid, is these probabilities; all are finite."""
    if multi_label:
        return probabilities.logit(torch.finfo(probabilities.dtype).eps)
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
