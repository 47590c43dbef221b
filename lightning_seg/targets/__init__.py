"""Targets: what heads regress, computed from a label map."""

from lightning_seg.targets.class_boundary import ClassBoundary, class_boundary
from lightning_seg.targets.hsv import HSV, rgb_to_hsv
from lightning_seg.targets.patch_distance import PatchDistance
from lightning_seg.targets.semantic_edges import semantic_edges
from lightning_seg.targets.signed_distance import SignedDistance, signed_distance

__all__ = [
    "HSV",
    "ClassBoundary",
    "PatchDistance",
    "SignedDistance",
    "class_boundary",
    "rgb_to_hsv",
    "semantic_edges",
    "signed_distance",
]
