"""Label rasters of images of any size: the one way of the command line and of Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.callbacks.files import file_stem
from lightning_seg.data import FolderDataModule, SegmentationDataModule
from lightning_seg.data.reading.labels import Color
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.prediction.files import (
    PredictionFiles,
    Probabilities,
    checked_label_values,
)
from lightning_seg.prediction.job import PredictionJob
from lightning_seg.prediction.polygons import Polygons
from lightning_seg.prediction.raster_data import RasterDataModule
from lightning_seg.prediction.raster_writer import RasterWriter
from lightning_seg.prediction.safety import refuse_clashes, warn_of_lost_places
from lightning_seg.tasks import SegmentationTask


def predict_rasters(
    task: SegmentationTask,
    images: str | Path,
    output_dir: str | Path,
    *,
    class_names: list[str] | None = None,
    class_colors: list[Color] | None = None,
    value_range: tuple[float, float] | None = None,
    probabilities: Probabilities | None = None,
    polygons: Polygons | None = None,
    label_values: list[int] | None = None,
    num_workers: int = 0,
    trainer: Trainer | None = None,
) -> None:
    """Predicts an image, or all images below a folder, without holding a whole one in memory.

    Windows, flips and scales are those of ``task.inference``; set it before. What is finished in
    ``output_dir`` by the same model in the same way is kept.

    Args:
        task: A trained task.
        images: An image file, or a folder of them.
        output_dir: Where the files go, see `PredictionWriter`.
        class_names: Names of the classes; by default their numbers.
        class_colors: Their RGB colours, 0 to 255; by default PASCAL VOC's.
        value_range: Lowest and highest image value, see `FolderDataModule`.
        probabilities: Whether and how probabilities are written, see `PredictionWriter`.
        polygons: Whether and how outlines are written.
        label_values: The number from 0 to 255 that stands for each class in label files, which are
            grey then; by default its own, with a palette.
        num_workers: Processes that read ahead.
        trainer: Says on which devices; its callbacks run, too. By default Lightning's choice.

    Raises:
        InputError: An image cannot be read or does not fit the task, or a setting is wrong.
    """
    source = FolderDataModule(
        images,
        num_classes=task.num_classes,
        class_names=class_names,
        palette=class_colors,
        in_channels=task.in_channels,
        value_range=value_range,
        predict_root=images,
        num_workers=num_workers,
    )
    files = PredictionFiles(str(output_dir), probabilities, polygons, label_values)
    predict(task, source, output_dir, files, trainer)


def predict(
    model: LightningModule,
    data: LightningDataModule,
    output_dir: str | Path,
    files: PredictionFiles | None = None,
    trainer: Trainer | None = None,
) -> None:
    """Predicts the images of a DataModule and writes what was predicted, see `plan_prediction`."""
    trainer = trainer or Trainer(logger=False, enable_checkpointing=False)
    files = files or PredictionFiles()
    plan = plan_prediction(model, data, Path(output_dir), files, trainer.precision)
    own = list(trainer.callbacks)  # type: ignore[attr-defined]
    trainer.callbacks = [*own, *plan.callbacks]  # type: ignore[attr-defined]
    try:
        trainer.predict(plan.model, datamodule=plan.data, return_predictions=False)
    finally:
        trainer.callbacks = own  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PredictionPlan:
    """What a trainer is given to predict.

    Args:
        model: Its ``predict_step`` is run.
        data: Gives its batches.
        callbacks: To be added to the trainer's: checks before the first step, and a writer of what
            the steps return.
    """

    model: LightningModule
    data: LightningDataModule
    callbacks: tuple[Callback, ...]


def plan_prediction(
    model: LightningModule,
    data: LightningDataModule,
    folder: Path,
    files: PredictionFiles,
    precision: str,
) -> PredictionPlan:
    """By windows of rasters where model and data allow it; else image by image.

    Images that ``eval_transforms`` change are predicted whole, as PNGs.

    Args:
        model: A `SegmentationTask`, or any module for `PredictionWriter`.
        data: Its images.
        folder: Where files go.
        files: Which files are written.
        precision: The trainer's.

    Raises:
        InputError: Files that this data does not allow, or that would replace others.
    """
    if (
        isinstance(model, SegmentationTask)
        and isinstance(data, SegmentationDataModule)
        and data.eval_pipeline.changes_nothing
    ):
        job = PredictionJob(model, data, folder, files, precision)
        rasters = RasterDataModule(data, job.layout, job.find_pending)
        return PredictionPlan(
            _WindowPrediction(model), rasters, (_Checks(data, job.paths), RasterWriter(job))
        )
    if files.probabilities is not None or files.polygons is not None:
        raise InputError(
            f"Probabilities and polygons are written of images as they are. {_why_whole(data)}"
        )
    checks: list[Callback] = []
    if isinstance(data, SegmentationDataModule):
        checks = [_Checks(data, partial(_png, folder), _why_whole(data))]
    known, number = getattr(data, "label_values", None), getattr(data, "num_classes", 0)
    values = checked_label_values(files.label_values, known, number)
    return PredictionPlan(model, data, (*checks, PredictionWriter(str(folder), values)))


class _Checks(Callback):
    """Checks the files of a prediction when its data is there.

    Args:
        data: Says which images.
        paths: The files that are written of an image.
        why_whole: Why images are predicted whole, if they are.
    """

    def __init__(
        self,
        data: SegmentationDataModule,
        paths: Callable[[Pair], Sequence[Path]],
        why_whole: str = "",
    ) -> None:
        self._data = data
        self._paths = paths
        self._why_whole = why_whole

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses predictions that would replace files; warns of places that will be lost."""
        pairs = self._data.predict_pairs()
        refuse_clashes({pair: self._paths(pair) for pair in pairs})
        warn_of_lost_places(pairs, self._why_whole)


def _png(folder: Path, pair: Pair) -> list[Path]:
    return [folder / f"{file_stem(pair.name)}.png"]


class _WindowPrediction(LightningModule):
    """A task as it predicts windows; a checkpoint of the task is one of it."""

    def __init__(self, task: SegmentationTask) -> None:
        super().__init__()
        self.task = task

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Probabilities (N, K, *size) of a batch of windows (N, C, *size)."""
        return self.task.infer_window(batch["image"])["logits"]

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """The task's."""
        return self.task.load_state_dict(state_dict, strict, assign)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The task's."""
        self.task.on_load_checkpoint(checkpoint)


def _why_whole(data: Any) -> str:
    """Why images are not predicted by windows, and what to do."""
    if isinstance(data, SegmentationDataModule) and not data.eval_pipeline.changes_nothing:
        return "To change nothing, take out eval_transforms (networks take images of any size)."
    return "In Python, predict by a SegmentationTask with a RasterDataModule."
