"""Prediction of images of any size: the entry point for the command line and Python."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_seg.callbacks import PredictionWriter
from lightning_seg.data import FolderDataModule, SegmentationDataModule
from lightning_seg.data.reading.labels import Color
from lightning_seg.data.reading.pair_reader import ValueRange
from lightning_seg.data.reading.pairs import Pair, folder_of
from lightning_seg.data.reading.tiff import is_raster
from lightning_seg.errors import InputError, install
from lightning_seg.files import file_stem
from lightning_seg.own_files import refuse_foreign
from lightning_seg.prediction.files import PredictionFiles, Probabilities, checked_label_values
from lightning_seg.prediction.geotiff import (
    becomes_geotiff,
    has_georeference,
    has_world_file,
    is_placed_by_points,
    is_rotated,
)
from lightning_seg.prediction.job import PredictionJob
from lightning_seg.prediction.mosaic import refuse_mosaic
from lightning_seg.prediction.polygons import Polygons
from lightning_seg.prediction.raster_data import RasterDataModule
from lightning_seg.prediction.raster_writer import RasterWriter
from lightning_seg.tasks import Ensemble, SegmentationTask


def predict_rasters(
    task: SegmentationTask | Ensemble,
    images: str | Path,
    output_dir: str | Path,
    *,
    class_names: list[str] | None = None,
    class_colors: list[Color] | None = None,
    value_range: ValueRange | None = None,
    probabilities: Probabilities | None = None,
    polygons: Polygons | None = None,
    label_values: list[int] | None = None,
    entropy: bool = False,
    disagreement: bool = False,
    cloud_optimized: bool = False,
    mosaic: bool = False,
    qgis_style: bool = False,
    num_workers: int = 0,
    trainer: Trainer | None = None,
) -> None:
    """Predict an image, or all images below a folder, a few rows at a time.

    No image is held in memory as a whole. Windows, flips and scales are those of
    ``task.inference``; set it beforehand. Images that the same model with the same settings has
    already finished in ``output_dir`` are skipped.

    Args:
        task: A trained task, or an ensemble of some.
        images: An image file, or a folder of images.
        output_dir: Output folder, see `RasterWriter`.
        class_names: Names of the classes; by default the task's, or else ``class 0``, ``class 1``
            and so on.
        class_colors: RGB colours of the classes, 0 to 255; by default the task's, or else the
            PASCAL VOC palette.
        value_range: Lowest and highest image value, see `FolderDataModule`; the checkpoint does not
            hold it, so give the one of the training.
        probabilities: How probabilities are written, see `PredictionFiles`; by default none are.
        polygons: How outlines are written; by default none are.
        label_values: Pixel value of each class in label files, 0 to 255; the files are then
            greyscale. By default a class's value is its index, and the files have a palette. With
            several labels per pixel, the values of absent and present.
        entropy: Also write the entropy of each pixel, see `PredictionFiles`.
        disagreement: Also write the disagreement of an ensemble's members, see `PredictionFiles`.
        cloud_optimized: Write cloud-optimised GeoTIFFs.
        mosaic: Also write a virtual raster over the predictions of all images.
        qgis_style: Also write the classes' names and colours as a QGIS style.
        num_workers: Number of reader processes.
        trainer: Chooses the devices; its callbacks run as well. By default Lightning chooses.

    Raises:
        InputError: An image cannot be read or does not fit the task, or a setting is invalid.
    """
    source = FolderDataModule(
        images,
        num_classes=task.num_classes,
        class_names=list(class_names or task.class_names or ()) or None,
        palette=list(class_colors or task.class_colors or ()) or None,
        in_channels=task.in_channels,
        value_range=value_range,
        predict_root=images,
        num_workers=num_workers,
    )
    files = PredictionFiles(
        output_dir=str(output_dir),
        probabilities=probabilities,
        entropy=entropy,
        disagreement=disagreement,
        polygons=polygons,
        label_values=label_values,
        cloud_optimized=cloud_optimized,
        mosaic=mosaic,
        qgis_style=qgis_style,
    )
    predict(task, source, output_dir, files, trainer)


def predict(
    model: LightningModule,
    data: LightningDataModule,
    output_dir: str | Path,
    files: PredictionFiles | None = None,
    trainer: Trainer | None = None,
) -> None:
    """Predict the images of a DataModule and write the results, see `plan_prediction`."""
    trainer = trainer or Trainer(logger=False, enable_checkpointing=False)
    files = files or PredictionFiles()
    plan = plan_prediction(model, data, Path(output_dir), files, trainer.precision)
    callbacks = list(trainer.callbacks)  # type: ignore[attr-defined]
    trainer.callbacks = [*callbacks, *plan.callbacks]  # type: ignore[attr-defined]
    try:
        trainer.predict(plan.model, datamodule=plan.data, return_predictions=False)
    finally:
        trainer.callbacks = callbacks  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PredictionPlan:
    """Model, data and callbacks of a prediction.

    Args:
        model: The module whose ``predict_step`` is run.
        data: Provides its batches.
        callbacks: Callbacks to add to the trainer: checks before the first step, and the writer.
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
    run: Path | None = None,
) -> PredictionPlan:
    """Plan a prediction: by windows if model and data allow it, otherwise image by image.

    Images that ``eval_transforms`` change are predicted whole and written as PNGs.

    Args:
        model: A `SegmentationTask` or `Ensemble`, or any module that `PredictionWriter` supports.
        data: Provides the images.
        folder: Output folder.
        files: Which files are written.
        precision: The trainer's precision.
        run: The run's folder, if there is one; files of another run are not replaced.
    """
    if (
        isinstance(model, SegmentationTask | Ensemble)
        and isinstance(data, SegmentationDataModule)
        and data.eval_pipeline.changes_nothing
    ):
        job = PredictionJob(model, data, folder, files, precision, run)
        rasters = RasterDataModule(data, job.layout, job.find_pending)
        checks = [_Checks(data, folder, job.paths, files=files)]
        return PredictionPlan(
            _WindowPrediction(model, files.disagreement), rasters, (*checks, RasterWriter(job))
        )
    if getattr(model, "multi_label", False):
        raise InputError(
            "Several labels per pixel can only be predicted for images in their original form. "
            f"{_why_whole(data)}"
        )
    if replace(files, output_dir=None, label_values=None) != PredictionFiles():
        raise InputError(
            "Probabilities, uncertainties, polygons, mosaics and styles need images in their "
            f"original form. {_why_whole(data)}"
        )
    checks = []
    if isinstance(data, SegmentationDataModule):
        checks = [_Checks(data, folder, partial(_png, folder), run, _why_whole(data))]
    of_dataset, num_classes = getattr(data, "label_values", None), getattr(data, "num_classes", 0)
    values = checked_label_values(files.label_values, of_dataset, num_classes)
    return PredictionPlan(model, data, (*checks, PredictionWriter(str(folder), values, run)))


class _Checks(Callback):
    """Check the output files of a prediction once its data is set up.

    Args:
        data: Provides the images.
        folder: Output folder.
        paths: Returns the paths of the files written for an image.
        run: The run's folder, if there is one.
        why_whole: Why images are predicted whole, if they are.
        files: Which files are written.
    """

    def __init__(
        self,
        data: SegmentationDataModule,
        folder: Path,
        paths: Callable[[Pair], Sequence[Path]],
        run: Path | None = None,
        why_whole: str = "",
        files: PredictionFiles | None = None,
    ) -> None:
        self._data = data
        self._folder = folder
        self._paths = paths
        self._run = run
        self._why_whole = why_whole
        self._files = files or PredictionFiles()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raise if predictions would overwrite files; warn about lost georeferences."""
        pairs = self._data.predict_pairs()
        paths = {pair: self._paths(pair) for pair in pairs}
        _refuse_clashes(paths)
        written = [path for every in paths.values() for path in every]
        for root in self._data.predict_root or ():
            _refuse_output_among_images(Path(root), self._folder, written)
        if self._why_whole:  # by windows, finished images are skipped: the RasterWriter checks
            refuse_foreign(written, self._run)
        _warn_about_lost_georeferences(pairs, self._why_whole)
        if self._files.mosaic:
            refuse_mosaic([pair.image for pair in pairs])
        if self._files.polygons is not None:
            self._files.polygons.check_places([pair.image for pair in pairs])
            _warn_about_outlines_in_pixels(pairs)


def _refuse_clashes(files: Mapping[Pair, Sequence[Path]]) -> None:
    """Raise if predictions would overwrite each other or an input file."""
    read = {
        path.resolve(): path
        for pair in files
        for path in (pair.image, pair.extra)
        if path is not None
    }
    written: dict[Path, Path] = {}
    for pair, paths in files.items():
        for path in paths:
            target = path.resolve()
            if target in read:
                raise InputError(
                    f"The prediction of {pair.image} would overwrite the image {read[target]}. Set "
                    "output_dir (--predictions.output_dir) to a different folder."
                )
            if target in written:
                raise InputError(
                    f"The predictions of {written[target]} and {pair.image} would both be named "
                    f"{path.name}. Rename one of the images."
                )
            written[target] = pair.image


def _refuse_output_among_images(images: Path, folder: Path, written: Sequence[Path]) -> None:
    """Raise if the results of this prediction would be images of the next one."""
    above = folder_of(images)
    if not above.is_dir() or not folder.resolve().is_relative_to(above.resolve()):
        return
    pattern = images.relative_to(above)
    if "**" in pattern.parts or pattern == Path() or _any_matches(written, above, pattern):
        raise InputError(
            f"The output folder {folder} lies among the images, {images}: the next prediction "
            "would also predict the results. Set output_dir (--predictions.output_dir) to a folder "
            "outside."
        )


def _any_matches(files: Sequence[Path], above: Path, pattern: Path) -> bool:
    """Return whether a file matches a pattern of names, without ``**``, below a folder."""
    below = [file.resolve().relative_to(above.resolve()) for file in files]
    depth = len(pattern.parts)
    return any(len(file.parts) == depth and file.match(str(pattern)) for file in below)


def _warn_about_lost_georeferences(pairs: Sequence[Pair], why_whole: str = "") -> None:
    """Warn once if labels of georeferenced images will have no georeference."""
    for pair in pairs:
        image = pair.image
        if not (has_georeference(image) if is_raster(image) else has_world_file(image)):
            continue
        if not is_raster(image):
            reason = "its world file is not read. Save it as a GeoTIFF (gdal_translate)"
        elif why_whole:
            reason = f"images are predicted whole. {why_whole}"
        elif not becomes_geotiff(image):
            reason = f"GeoTIFFs need rasterio: {install('geo')}"
        elif is_rotated(image):
            reason = "its Orientation tag says that it is stored rotated. Save it upright"
        else:
            continue
        rank_zero_warn(
            f"The labels of {image} (and others like it) will have no georeference: {reason}"
        )
        return


def _warn_about_outlines_in_pixels(pairs: Sequence[Pair]) -> None:
    """Warn once if outlines of georeferenced images will be in pixels."""
    for pair in pairs:
        if becomes_geotiff(pair.image) and is_placed_by_points(pair.image):
            rank_zero_warn(
                f"The outlines of {pair.image} (and others like it) will be in pixels: it is "
                "placed by ground control points or RPCs. Warp it first (gdalwarp)"
            )
            return


def _png(folder: Path, pair: Pair) -> list[Path]:
    return [folder / f"{file_stem(pair.name)}.png"]


class _WindowPrediction(LightningModule):
    """Adapter that makes a task predict windows; it loads the task's checkpoints."""

    def __init__(self, task: SegmentationTask | Ensemble, disagreement: bool = False) -> None:
        super().__init__()
        self.task = task
        self._disagreement = disagreement

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Return the probabilities (N, K, *size) of a batch of windows (N, C, *size).

        The disagreement of an ensemble's members is one more channel, if it is wanted.
        """
        if isinstance(self.task, Ensemble) and self._disagreement:
            maps = self.task.infer_window(batch["image"], disagreement=True)
            return torch.cat([maps["logits"], maps["disagreement"]], dim=1)
        return self.task.infer_window(batch["image"])["logits"]

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load the state dict into the task."""
        return self.task.load_state_dict(state_dict, strict, assign)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Forward to the task."""
        self.task.on_load_checkpoint(checkpoint)


def _why_whole(data: Any) -> str:
    """Say why images are not predicted by windows, and what to do."""
    if isinstance(data, SegmentationDataModule) and not data.eval_pipeline.changes_nothing:
        return "Remove eval_transforms, which change them (networks accept images of any size)."
    return "In Python, use a SegmentationTask or Ensemble with a SegmentationDataModule."
