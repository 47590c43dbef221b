"""Losses: modules over pure functions, on logits ``(logits, mask)`` or on maps."""

from lightning_seg.losses.base import Loss
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights
from lightning_seg.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from lightning_seg.losses.map_l1 import MapL1Loss, map_l1
from lightning_seg.losses.weighted import WeightedLoss

__all__ = [
    "ClassBalance",
    "ClassWeights",
    "CrossEntropyLoss",
    "Loss",
    "MapL1Loss",
    "WeightedLoss",
    "cross_entropy",
    "map_l1",
]
