"""Targets: what heads regress, computed from a label map."""

from lightning_seg.targets.semantic_edges import semantic_edges
from lightning_seg.targets.signed_distance import SignedDistance, signed_distance

__all__ = ["SignedDistance", "semantic_edges", "signed_distance"]
