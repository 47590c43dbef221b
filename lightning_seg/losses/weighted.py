"""A loss and its weight in the sum."""

import math
from dataclasses import dataclass

from torch import nn

from lightning_seg.losses.base import Loss


@dataclass
class WeightedLoss:
    """One term of the objective: ``weight * loss(...)``.

    Args:
        loss: A loss of `lightning_seg.losses` by its short name, or any module of the same call
            by its full class path.
        weight: Its factor in the sum.

    Raises:
        ValueError: A weight that is not finite.
    """

    loss: Loss | nn.Module
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"the weight of a loss is {self.weight}, expected a finite number")
