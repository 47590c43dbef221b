"""A loss, its weight in the objective, and the prediction that it is of."""

import math
from collections.abc import Sequence
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
        prediction: The head's prediction that it is called on, by default the class scores; of a
            loss that compares several, their names in the order of its arguments.

    Raises:
        ValueError: A weight that is not finite, or no prediction.
    """

    loss: Loss | nn.Module
    weight: float = 1.0
    prediction: str | list[str] = "logits"

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"the weight of a loss is {self.weight}, expected a finite number")
        if not self.prediction:
            raise ValueError("prediction is empty, expected the name of a head's prediction")

    @property
    def predictions(self) -> Sequence[str]:
        """Names of all predictions that the loss is called on."""
        return [self.prediction] if isinstance(self.prediction, str) else self.prediction
