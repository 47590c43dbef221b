"""A loss and its weight in the sum."""

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
    """

    loss: Loss | nn.Module
    weight: float = 1.0
