"""Tasks: the LightningModules that are trained, evaluated and used for prediction."""

from lightning_seg.errors import needs

with needs("train", "lightning_seg.tasks"):
    from lightning_seg.tasks.auxiliary import AuxiliarySupervision
    from lightning_seg.tasks.edge_detection import EdgeDetectionTask
    from lightning_seg.tasks.ensemble import Ensemble
    from lightning_seg.tasks.optimization import Optimization
    from lightning_seg.tasks.segmentation import SegmentationTask

__all__ = [
    "AuxiliarySupervision",
    "EdgeDetectionTask",
    "Ensemble",
    "Optimization",
    "SegmentationTask",
]
