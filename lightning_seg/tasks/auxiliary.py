"""Supervision that belongs to a network, whatever method it is trained by."""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_seg.heads import Head
from lightning_seg.losses import WeightedLoss
from lightning_seg.networks import Network


@dataclass
class AuxiliarySupervision:
    """A second head with losses of its own: PSPNet's auxiliary classifier, GSCNN's edges.

    Its predictions help the training of the network; they stand beside those of the method's head
    and are not what is predicted. It is a setting apart from head and losses, so that a method
    that brings these leaves it in place.

    Args:
        head: Called with the network and ``num_classes``.
        losses: Terms of the objective by name, as `SegmentationTask` takes them.
    """

    head: Callable[[Network, int], Head]
    losses: dict[str, WeightedLoss | None]
