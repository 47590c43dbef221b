"""Prediction job: the output files of many rasters, and what is still pending."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_seg.callbacks.classes import class_colors_of, class_names_of
from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.files import file_stem
from lightning_seg.inference import TestTimeAugmentation, WindowLayout, whole_image
from lightning_seg.own_files import write_own
from lightning_seg.prediction.files import (
    ENTROPY_STEPS,
    UNCERTAINTIES,
    Classes,
    PredictionFiles,
    checked_label_values,
)
from lightning_seg.prediction.geotiff import need_rasterio
from lightning_seg.prediction.mosaic import MOSAIC, mosaic_vrt
from lightning_seg.prediction.outputs import output_paths, raster_ending
from lightning_seg.prediction.progress import Progress, settings_hash
from lightning_seg.prediction.qgis_style import label_style
from lightning_seg.prediction.row_spans import Pending, Raster
from lightning_seg.prediction.row_store import RowStore
from lightning_seg.tasks import Ensemble, SegmentationTask


class PredictionJob:
    """State shared by the `RasterDataModule` and the `RasterWriter` of one prediction.

    Args:
        task: The model.
        source: Provides the images and their classes.
        folder: Output folder.
        files: Which files are written; its ``output_dir`` is ignored here.
        precision: The trainer's precision, which predictions depend on.
        run: The run's folder, if there is one; files of another run are not replaced.

    Raises:
        InputError: A requested file is not possible with these classes or needs a library that is
            not installed.
    """

    def __init__(
        self,
        task: SegmentationTask | Ensemble,
        source: SegmentationDataModule,
        folder: Path,
        files: PredictionFiles | None = None,
        precision: str = "32-true",
        run: Path | None = None,
    ) -> None:
        self.task = task
        self.source = source
        self.folder = folder
        self.files = files or PredictionFiles()
        self._precision = precision
        self.run = run
        if task.num_classes > IGNORE_INDEX:
            raise InputError(
                f"There are {task.num_classes} classes, but predicted rasters store labels as "
                f"bytes and {IGNORE_INDEX} means no data: at most {IGNORE_INDEX} classes can be "
                "predicted. Use a model with fewer classes."
            )
        for wanted, what in (
            (task.multi_label, "Writing several labels per pixel"),
            (self.files.rasters, "Writing probabilities or uncertainties"),
            (self.files.cloud_optimized, "Writing cloud-optimised GeoTIFFs"),
            (self.files.mosaic, "Writing a mosaic"),
        ):
            if wanted:
                need_rasterio(what)
        if task.multi_label:
            self.files.check_several_labels()
        if self.files.polygons is not None:
            self.files.polygons.check(self.classes.names)
        if self.files.disagreement and not isinstance(task, Ensemble):
            raise InputError(
                "disagreement is that of an ensemble's members, but there is one model. Give "
                "several checkpoints (--ckpt_path '[a.ckpt, b.ckpt]', in Python an Ensemble), or "
                "write the entropy."
            )
        _announce_scales(task.inference)

    @cached_property
    def classes(self) -> Classes:
        """Names, colours and pixel values of the classes in the files."""
        sources, number = (self.source, self.task), self.task.num_classes
        several = self.task.multi_label
        values = checked_label_values(
            self.files.label_values, self.source.label_values, 2 if several else number
        )
        names = class_names_of(sources, number)
        return Classes(tuple(names), tuple(class_colors_of(sources, number)), values, several)

    def layout(self, height: int, width: int) -> WindowLayout:
        """Return the windows over an image of this size; without windows, one covers it all."""
        inference = self.task.inference
        window = inference.window if isinstance(inference, TestTimeAugmentation) else inference
        return whole_image(height, width) if window is None else window.layout(height, width)

    def stem(self, pair: Pair) -> Path:
        """Return the path of an image's files, without suffix."""
        return self.folder / file_stem(pair.name)

    def paths(self, pair: Pair) -> list[Path]:
        """Return the paths of all files written for an image."""
        return output_paths(pair.image, self.stem(pair), self.files, self.task.multi_label)

    @property
    def mosaic_paths(self) -> dict[str, Path]:
        """Paths of the files that span all images, by the ends of their tiles' names."""
        if not self.files.mosaic:
            return {}
        names = {".tif": f"{MOSAIC}.vrt"}
        names |= {raster_ending(name): f"{MOSAIC}_{name}.vrt" for name in self.files.rasters}
        names |= {".qml": f"{MOSAIC}.qml"} if self.files.qgis_style else {}
        return {ending: self.folder / name for ending, name in names.items()}

    def write_mosaic(self, pairs: Sequence[Pair]) -> None:
        """Write the mosaics if all images are finished; the process that finishes last does."""
        if not self.files.mosaic or not all(map(self._is_finished, pairs)):
            return
        no_data = {raster_ending(name): ENTROPY_STEPS + 1 for name in UNCERTAINTIES}
        no_data[".tif"] = self.classes.nodata
        for ending, path in self.mosaic_paths.items():
            if ending == ".qml":
                content = label_style(self.classes)
            else:
                stems = map(self.stem, pairs)
                tiles = [stem.with_name(stem.name + ending) for stem in stems]
                content = mosaic_vrt(tiles, no_data.get(ending))
            write_own(path, content, self.run)

    def _is_finished(self, pair: Pair) -> bool:
        return self.progress.holds(file_stem(pair.name), self.progress.key(pair))

    def find_pending(self, raster: Raster) -> Pending:
        """Return the rows of an image that are still to be predicted."""
        key = self.progress.key(raster.pair)
        store = self.store(raster, key)
        if self.progress.holds(file_stem(raster.pair.name), key):
            store.remove()
            return Pending((), key)
        store.prepare()
        return Pending(tuple(store.missing() or store.forget_last()), key)

    def store(self, raster: Raster, key: str) -> RowStore:
        """Return the store of an image's predicted rows."""
        return RowStore(self.folder, file_stem(raster.pair.name), key, raster.height)

    @cached_property
    def progress(self) -> Progress:
        """Record of finished images; access it only once the task has its weights."""
        settings = settings_hash(
            self.task,
            self.task.inference,
            self._precision,
            self.source.reader,
            self.classes,
            replace(self.files, output_dir=None, label_values=None, mosaic=False),
        )
        return Progress(self.folder, settings)


def _announce_scales(inference: object) -> None:
    if not isinstance(inference, TestTimeAugmentation) or inference.window is None:
        return
    if any(scale != 1 for scale in inference.scales):
        rank_zero_info(
            "Each window is scaled by itself here, whereas validate and test scale the image and "
            "then cut it into windows: labels can differ slightly."
        )
