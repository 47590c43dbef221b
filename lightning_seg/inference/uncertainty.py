"""Class probabilities: their entropy, and scores that stand for them."""

import math

import torch
from torch import Tensor


def normalized_entropy(probabilities: Tensor) -> Tensor:
    """Compute the entropy (..., 1, H, W) of probabilities (..., K, H, W), over that of K equal.

    It is 0 where one class is certain, and 1 where all classes are equally probable.
    """
    entropy = torch.special.entr(probabilities).sum(dim=-3, keepdim=True)
    return (entropy / math.log(probabilities.shape[-3])).clamp_(0, 1)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Return scores whose softmax is these probabilities; all are finite."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
