"""A loss with its weight and the prediction that it applies to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lightning_seg.losses.base import Loss


@dataclass
class WeightedLoss:
    """One term of the objective: ``weight * loss(...)``.

    Args:
        loss: A loss of `lightning_seg.losses` by its short name, or any module with the same call
            signature by its full class path.
        weight: Factor in the sum.
        prediction: Name of the head's prediction that the loss is called on, by default the class
            scores; a list of names, in the order of the arguments, for a loss of several.

    Raises:
        ValueError: A weight that is not finite, or an empty prediction.

    Example:
        >>> from lightning_seg.losses import MapL1Loss, WeightedLoss
        >>> term = WeightedLoss(MapL1Loss(), weight=2.0, prediction="distance")
        >>> term.predictions
        ['distance']
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
        """Names of the predictions that the loss is called on."""
        return [self.prediction] if isinstance(self.prediction, str) else self.prediction
