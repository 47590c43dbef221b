"""Callbacks for any LightningModule: boundary metrics, pictures, prediction files, run records."""

from lightning_seg.errors import needs

with needs("callbacks", "lightning_seg.callbacks"):
    from lightning_seg.callbacks.atomic_checkpoint import AtomicCheckpointIO
    from lightning_seg.callbacks.exact_resume import ExactResume
    from lightning_seg.callbacks.extractors import CaptureForward, FromOutputs
    from lightning_seg.callbacks.finite_training import FiniteTraining
    from lightning_seg.callbacks.frozen_batch_norm import FrozenBatchNorm
    from lightning_seg.callbacks.metrics.boundary_metrics import BoundaryMetrics
    from lightning_seg.callbacks.pictures.edge_features import EdgeFeatureMaps
    from lightning_seg.callbacks.pictures.panels import PredictionPanels
    from lightning_seg.callbacks.pictures.potential_fields import PotentialFields
    from lightning_seg.callbacks.prediction_writer import PredictionWriter
    from lightning_seg.callbacks.run_record import RunRecord
    from lightning_seg.callbacks.stop_signals import StopOnSignal

__all__ = [
    "AtomicCheckpointIO",
    "BoundaryMetrics",
    "CaptureForward",
    "EdgeFeatureMaps",
    "ExactResume",
    "FiniteTraining",
    "FromOutputs",
    "FrozenBatchNorm",
    "PotentialFields",
    "PredictionPanels",
    "PredictionWriter",
    "RunRecord",
    "StopOnSignal",
]
