"""Auxiliary supervision that belongs to a network, independent of the method."""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_seg.heads import Head
from lightning_seg.losses import WeightedLoss
from lightning_seg.networks import Network


@dataclass
class AuxiliarySupervision:
    """A second head with its own losses, such as PSPNet's auxiliary classifier or GSCNN's edges.

    Its predictions only support training; predictions come from the method's head. It is a
    separate setting, so a method that replaces head and losses leaves it in place.

    Args:
        head: Called with the network and ``num_classes``.
        losses: Loss terms by name, as in `SegmentationTask`.
    """

    head: Callable[[Network, int], Head]
    losses: dict[str, WeightedLoss | None]
