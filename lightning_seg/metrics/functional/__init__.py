"""Metrics as pure functions of tensors, without torchmetrics."""

from lightning_seg.metrics.functional.boundary_errors import boundary_errors
from lightning_seg.metrics.functional.boundary_f import (
    boundary_f_counts,
    boundary_f_scores,
    surface_dice,
    tolerance_in_pixels,
)
from lightning_seg.metrics.functional.boundary_iou import (
    boundary_iou,
    boundary_iou_counts,
    boundary_width,
)
from lightning_seg.metrics.functional.contours import ContourCounts
from lightning_seg.metrics.functional.e_measure import e_measure
from lightning_seg.metrics.functional.region_scores import region_scores
from lightning_seg.metrics.functional.surface_distance import SurfaceDistances, surface_distances
from lightning_seg.metrics.functional.trimap_iou import trimap_iou, trimap_iou_counts

__all__ = [
    "ContourCounts",
    "SurfaceDistances",
    "boundary_errors",
    "boundary_f_counts",
    "boundary_f_scores",
    "boundary_iou",
    "boundary_iou_counts",
    "boundary_width",
    "e_measure",
    "region_scores",
    "surface_dice",
    "surface_distances",
    "tolerance_in_pixels",
    "trimap_iou",
    "trimap_iou_counts",
]
