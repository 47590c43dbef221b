"""Heads: features to named predictions, and the target of each."""

from lightning_seg.heads.classification import ClassificationHead
from lightning_seg.heads.head import Head
from lightning_seg.heads.signed_distance import SignedDistanceHead

__all__ = ["ClassificationHead", "Head", "SignedDistanceHead"]
