"""Class weights: numbers, or a balance counted from the training labels."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError

ClassBalance = Literal["median_frequency", "inverse_frequency"]
"""Name of a rule that weights classes by their frequency in the training data."""


class ClassWeights(nn.Module):
    """Class weights of a loss, held as a submodule and read at every call.

    A balance has no weights until `resolve` sets them. `SegmentationTask` looks for every
    ``ClassWeights`` among its modules, asks the DataModule to count its training labels, and keeps
    the weights in its checkpoints.

    Args:
        given: One non-negative number per class, the name of a balance, or None for equal weights.

    Attributes:
        balance: Name of the balance; None for given numbers and for equal weights.
        values: (K,) float32, float64 after ``double()``; None for equal weights and for a balance
            that is not resolved yet.

    Raises:
        ValueError: An unknown name; numbers that are negative, not finite or all 0.

    Example:
        >>> from lightning_seg.losses import ClassWeights
        >>> weights = ClassWeights([1.0, 4.0])
        >>> weights(num_classes=2)
        tensor([1., 4.])
    """

    values: Tensor | None

    def __init__(self, given: Sequence[float] | ClassBalance | None) -> None:
        super().__init__()
        self.balance: ClassBalance | None = None
        self._numbers: tuple[float, ...] = ()
        # Not persistent: the configuration or the task already holds the weights.
        self.register_buffer("values", None, persistent=False)
        if isinstance(given, str):
            if given not in get_args(ClassBalance):
                raise ValueError(
                    f"class_weights is {given!r}, expected a number for each class or one of: "
                    f"{', '.join(get_args(ClassBalance))}"
                )
            self.balance = given
        elif given is not None:
            self.resolve(given)

    def resolve(self, weights: Sequence[float], device: torch.device | None = None) -> None:
        """Set the weights, one number per class, 0 or more and one above 0, or raise ValueError."""
        numbers = [float(weight) for weight in weights]
        if not all(math.isfinite(weight) and weight >= 0 for weight in numbers) or not any(numbers):
            raise ValueError(
                f"class_weights is {numbers}, expected numbers of 0 or more, and one above 0"
            )
        self._numbers = tuple(numbers)
        self.values = torch.tensor(numbers, dtype=torch.float32, device=device)

    def check_length(self, num_classes: int) -> None:
        """Raise InputError unless there is one weight per class; unresolved weights pass."""
        if self.values is not None and len(self.values) != num_classes:
            raise InputError(
                f"class_weights holds {len(self.values)} weights, but there are {num_classes} "
                "classes (channels of the prediction). Give one weight for each."
            )

    def forward(self, num_classes: int) -> Tensor | None:
        """Return the weights (num_classes,), or None for equal weights.

        Raises InputError for another number of classes, or a balance that is not resolved.
        """
        if self.values is None and self.balance is not None:
            raise InputError(
                f"class_weights is {self.balance!r}, whose weights are not known yet: fit counts "
                "them from the DataModule's training labels, and its checkpoints hold them. Load "
                "such a checkpoint, or give the numbers themselves."
            )
        self.check_length(num_classes)
        return self.values

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow moves to a device and to float64, but never round to half precision."""
        super()._apply(fn, recurse)
        if self.values is not None:
            double = self.values.dtype == torch.float64
            self.values = torch.tensor(
                self._numbers,
                dtype=torch.float64 if double else torch.float32,
                device=self.values.device,
            )
        return self


def check_weights(class_weights: Tensor | None, channels: int) -> None:
    """Raise ValueError unless the weights are None or (channels,)."""
    if class_weights is not None and class_weights.shape != (channels,):
        raise ValueError(
            f"class_weights has the shape {tuple(class_weights.shape)}, expected ({channels},): "
            "one weight for each channel of the prediction"
        )
