"""Boundary metrics for segmentation, as torchmetrics metrics.

`lightning_seg.metrics.functional` has the same metrics as pure functions. For IoU, F1, accuracy,
precision, recall, Matthews correlation and the confusion matrix, use torchmetrics.
"""

from lightning_seg.metrics.boundary_errors import BoundaryErrors
from lightning_seg.metrics.boundary_f import BoundaryFMeasure
from lightning_seg.metrics.boundary_iou import BoundaryIoU
from lightning_seg.metrics.e_measure import EMeasure
from lightning_seg.metrics.multi_label import MultiLabelMetric
from lightning_seg.metrics.per_sample_mean import PerSampleMean
from lightning_seg.metrics.surface_distance import SurfaceDistance
from lightning_seg.metrics.trimap_iou import TrimapIoU

__all__ = [
    "BoundaryErrors",
    "BoundaryFMeasure",
    "BoundaryIoU",
    "EMeasure",
    "MultiLabelMetric",
    "PerSampleMean",
    "SurfaceDistance",
    "TrimapIoU",
]
