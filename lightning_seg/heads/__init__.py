"""Heads map features to named predictions and provide the target of each."""

from lightning_seg.heads.auxiliary import AuxiliaryHead
from lightning_seg.heads.classification import ClassificationHead
from lightning_seg.heads.edge import EdgeHead
from lightning_seg.heads.head import Head
from lightning_seg.heads.multi_task import ConditionedMultiTaskHead, MultiTaskHead
from lightning_seg.heads.pyramid_pooling import PyramidPoolingHead
from lightning_seg.heads.signed_distance import SignedDistanceHead

__all__ = [
    "AuxiliaryHead",
    "ClassificationHead",
    "ConditionedMultiTaskHead",
    "EdgeHead",
    "Head",
    "MultiTaskHead",
    "PyramidPoolingHead",
    "SignedDistanceHead",
]
