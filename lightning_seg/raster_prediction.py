"""Label rasters of images of any size, from Python; ``lightning-seg predict`` does the same."""

from pathlib import Path

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.callbacks.polygons import Polygons
from lightning_seg.callbacks.predicted_rows import Probabilities
from lightning_seg.data import FolderDataModule, RasterDataModule, SegmentationDataModule
from lightning_seg.data.labels import Color
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
    writer = PredictionWriter(str(output_dir), probabilities, polygons, label_values)
    trainer = trainer or Trainer(logger=False, enable_checkpointing=False)
    trainer.callbacks.append(writer)  # type: ignore[attr-defined]
    try:
        trainer.predict(
            task,
            datamodule=RasterDataModule(source, task.window_layout),
            return_predictions=False,
        )
    finally:
        trainer.callbacks.remove(writer)  # type: ignore[attr-defined]


def as_rasters(model: LightningModule, data: LightningDataModule) -> LightningDataModule:
    """The data to predict as windows, where model and data allow it; else the data as it is.

    Images that ``eval_transforms`` change are predicted whole.
    """
    if not isinstance(model, SegmentationTask) or not isinstance(data, SegmentationDataModule):
        return data
    if not data.eval_pipeline.changes_nothing:
        return data
    return RasterDataModule(data, model.window_layout)
