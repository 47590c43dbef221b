"""Regression targets of the heads, computed from label maps or images."""

from lightning_seg.targets.boundary_distance import BoundaryDistance, boundary_distance
from lightning_seg.targets.class_boundary import ClassBoundary, class_boundary
from lightning_seg.targets.hsv import HSV, rgb_to_hsv
from lightning_seg.targets.inner_distance import InnerDistance, inner_distance
from lightning_seg.targets.patch_distance import PatchDistance
from lightning_seg.targets.semantic_edges import SemanticEdges, semantic_edges
from lightning_seg.targets.signed_distance import SignedDistance, signed_distance

__all__ = [
    "HSV",
    "BoundaryDistance",
    "ClassBoundary",
    "InnerDistance",
    "PatchDistance",
    "SemanticEdges",
    "SignedDistance",
    "boundary_distance",
    "class_boundary",
    "inner_distance",
    "rgb_to_hsv",
    "semantic_edges",
    "signed_distance",
]
