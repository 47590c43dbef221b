"""Logged values that callbacks and schedules watch."""

import difflib

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_seg.callbacks import BoundaryMetrics
from lightning_seg.errors import InputError
from lightning_seg.tasks import EdgeDetectionTask, SegmentationTask

# Logged by the trainer, or only with some losses.
_ELSEWHERE = ("train/", "lr-", "epoch", "step")


class MonitorCheck(Callback):
    """Raise before the first epoch if a watched value is never logged.

    Watched are those of `ModelCheckpoint`, `EarlyStopping` and ``ReduceLROnPlateau``. The check
    needs a task of this package without foreign callbacks, which might log anything.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the watched names with those that will be logged."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        packages = {type(c).__module__.split(".")[0] for c in callbacks}
        own = type(pl_module) in (SegmentationTask, EdgeDetectionTask)
        if not own or not packages <= {"lightning", "lightning_seg"}:
            return
        logged = {f"{stage}/loss" for stage in ("train", "val")}
        if isinstance(pl_module, SegmentationTask):
            logged |= {f"train/{name}" for name in pl_module.terms}
        else:
            logged |= {"train/edge_f1", "val/edge_f1"}
        for callback in callbacks:
            if isinstance(callback, BoundaryMetrics):
                logged |= set(callback.names)
        watched = [
            (type(c).__name__, name) for c in callbacks if (name := getattr(c, "monitor", None))
        ]
        if isinstance(pl_module, SegmentationTask) and pl_module.optimization.epoch_schedule:
            watched.append(("optimization", pl_module.optimization.monitor))
        for owner, name in watched:
            elsewhere = name.startswith(_ELSEWHERE) or "dataloader_idx" in name
            if name not in logged and not elsewhere:
                near = difflib.get_close_matches(name, logged, n=3, cutoff=0.4)
                known = ", ".join(near or sorted(n for n in logged if n.startswith("val/")))
                raise InputError(
                    f"{owner} watches {name!r}, which is never logged. Logged are, e.g., {known}."
                )
