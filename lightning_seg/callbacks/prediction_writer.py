"""Predicted label maps as files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_seg.callbacks.batches import (
    PREDICTION_KEYS,
    describe,
    find_map,
    find_names,
    lookup,
    to_labels,
)
from lightning_seg.callbacks.classes import find_class_colors, find_class_names, find_num_classes
from lightning_seg.callbacks.files import file_stem
from lightning_seg.callbacks.finished_images import FinishedImages, fingerprint
from lightning_seg.callbacks.geotiff import has_place, is_turned, need_rasterio, small_cache
from lightning_seg.callbacks.image_outputs import (
    Classes,
    ImageOutputs,
    becomes_geotiff,
    output_paths,
)
from lightning_seg.callbacks.label_png import label_png
from lightning_seg.callbacks.polygons import Polygons
from lightning_seg.callbacks.predicted_rows import PredictedRows, Probabilities
from lightning_seg.callbacks.row_store import Rows, RowStore, remove_empty
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.labels import IGNORE_INDEX
from lightning_seg.data.pairs import Pair
from lightning_seg.data.raster_windows import Found, Raster, RasterDataModule, Span
from lightning_seg.data.rasters import is_raster
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically
from lightning_seg.inference import RowResizing, Stitching, TestTimeAugmentation, WindowLayout


class PredictionWriter(BasePredictionWriter):
    """Writes predicted label maps, and class probabilities and outlines where asked for.

    From a `RasterDataModule` come windows of images of any size, whose probabilities are averaged
    and decided row by row: labels of a TIFF become a GeoTIFF in the same place, those of other
    images ``NAME.png``, both with the classes' colours. Images that this model has predicted
    already are noted beside the files (``.finished``) and left out. Rows of an image that takes
    long, or that several processes share, are kept in ``.rows`` until all are there; a prediction
    that was killed goes on with the others.

    From any other data, each label map of a batch is written as ``NAME.png``: ``predict_step``
    returns labels (B, H, W) or scores (B, K, H, W), alone or in a dict (``labels``, ``logits``,
    ...), or under ``labels`` a list of labels (H, W). Names come from the returned dict or the
    batch, else from the sample's number. From 257 classes on, these are 16-bit grey.

    An image is written by the process that finishes it, any other sample by the one that predicts
    it.

    Args:
        output_dir: Folder to write to; by default ``predictions`` in the run's folder.
        probabilities: Also write ``NAME_probabilities.tif``, a band for each class: ``uint8`` (255
            times the probability, the smaller file) or ``float16``.
        polygons: Also write the outlines of objects.
        label_values: The number from 0 to 255 that stands for each class in label files, which are
            grey then and have no palette: ``dataset`` for those of the dataset's own labels, as its
            test server wants them (label ids of Cityscapes, 0 and 255 of INRIA), or a number for
            each class. By default classes are numbered from 0 on.

    Raises:
        InputError: (in setup) Something asked for is not possible with this data or without a
            library. (in a step) ``predict_step`` returned nothing like a label map.
    """

    def __init__(
        self,
        output_dir: str | None = None,
        probabilities: Probabilities | None = None,
        polygons: Polygons | None = None,
        label_values: Literal["dataset"] | list[int] | None = None,
    ) -> None:
        super().__init__(write_interval="batch")
        self.output_dir = output_dir
        self.probabilities = probabilities
        self.polygons = polygons
        self.label_values = label_values
        self._open: _OpenSpan | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder, the number of classes and their colours."""
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        self._folder = run_folder(trainer) / "predictions"
        if self.output_dir is not None:
            self._folder = Path(self.output_dir)
        self._num_classes = find_num_classes(trainer, pl_module)
        self._colors = find_class_colors(trainer, pl_module, self._num_classes)
        names = find_class_names(trainer, pl_module, self._num_classes, None)
        data: Any = getattr(trainer, "datamodule", None)
        values = _label_values(self.label_values, data, self._num_classes)
        self._classes = Classes(tuple(names), tuple(self._colors), values)
        self._finished: FinishedImages | None = None
        if isinstance(data, RasterDataModule):
            self._data = data
            if self._num_classes > IGNORE_INDEX:
                raise InputError(
                    f"There are {self._num_classes} classes, but labels of images of any size are "
                    f"stored as bytes, of which {IGNORE_INDEX} means no data: at most "
                    f"{IGNORE_INDEX} classes can be predicted."
                )
            _tell_of_scales(getattr(pl_module, "inference", None))
            _warn_of_lost_places([raster.pair for raster in data.rasters])
            data.look = lambda raster: self._look(raster, self._notes(trainer, pl_module))
            _refuse_clashes({raster.pair: self._paths(raster.pair) for raster in data.rasters})
            if self.probabilities is not None:
                need_rasterio("Writing probabilities")
            if self.polygons is not None:
                self.polygons.check(names)
        elif self.probabilities is not None or self.polygons is not None:
            raise InputError(
                f"Probabilities and polygons are written of images as they are. {_why_whole(data)}"
            )
        elif isinstance(data, SegmentationDataModule):
            pairs = data.predict_pairs()
            _refuse_clashes({pair: [self._png(pair.name)] for pair in pairs})
            _warn_of_lost_places(pairs, _why_whole(data))

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes one batch's label maps, or the rows of an image that it finishes."""
        if isinstance(batch, Mapping) and "corners" in batch:
            self._add_windows(trainer, pl_module, prediction["probabilities"], batch)
            return
        labels = _label_maps(prediction, self._num_classes)
        if labels is None:
            raise InputError(
                f"predict_step of {type(pl_module).__name__} returned {describe(prediction)}; "
                "PredictionWriter needs labels (B, H, W) or scores (B, K, H, W), alone or in a "
                "dict under 'labels' or 'logits'."
            )
        names = find_names(len(labels), prediction, batch) or _numbered(
            len(labels), batch_indices, batch_idx
        )
        several = len(trainer.num_predict_batches) > 1
        subfolder = f"dataloader_idx_{dataloader_idx}" if several else ""
        for name, image in zip(names, labels, strict=True):
            png = label_png(image, self._colors, self._classes.values)
            write_atomically(self._png(name, subfolder), png)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lets go of what was begun and not finished."""
        self._open = None
        if stage == "predict" and trainer.world_size == 1:
            remove_empty(self._folder)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """The same: where a step fails, there is no teardown."""
        self._open = None

    def _png(self, name: str, subfolder: str = "") -> Path:
        return self._folder / subfolder / f"{file_stem(name)}.png"

    def _paths(self, pair: Pair) -> list[Path]:
        """The files of an image that is predicted by windows."""
        stem = self._folder / file_stem(pair.name)
        return output_paths(pair.image, stem, self.probabilities, self.polygons)

    def _add_windows(
        self, trainer: Trainer, pl_module: LightningModule, maps: Tensor, batch: Mapping[str, Any]
    ) -> None:
        span, number = self._data.spans[batch["span"]], batch["batch"]
        notes = self._notes(trainer, pl_module)
        if number == span.batches.start:
            size = span.raster.layout.size
            weight = pl_module.window_weight(size, maps.device)  # type: ignore[operator]
            notes.forget(file_stem(span.raster.pair.name))
            store = self._store(span.raster, span.key)
            if not span.whole and not store.is_common():
                raise InputError(
                    f"Several processes predict parts of {span.raster.pair.image}, but the first "
                    f"one's {self._folder.absolute()} is not here. Set output_dir "
                    "(--predictions.output_dir) to a folder that all machines share."
                )
            rows = PredictedRows(store, span.first, span.last, self.probabilities)
            self._open = _OpenSpan(span, weight, rows)
        assert self._open is not None, "batches of a span come in order"
        self._open.add(maps, number, batch["corners"])
        if number + 1 == span.batches.stop:
            self._finish(span, self._open.rows, notes)
            self._open = None

    def _finish(self, span: Span, rows: PredictedRows, notes: FinishedImages) -> None:
        """Keeps a span's rows, and writes the image's files where all its rows are there."""
        if span.whole and not rows.on_disk:
            self._write(span, rows.take(), notes)
            return
        rows.save()
        if rows.store.take():
            self._write(span, rows.store.rows(), notes)
            rows.store.remove()

    @small_cache()
    def _write(self, span: Span, rows: Iterable[Rows], notes: FinishedImages) -> None:
        raster, stem = span.raster, file_stem(span.raster.pair.name)
        outputs = ImageOutputs(
            raster.pair.image,
            (raster.height, raster.width),
            self._folder / stem,
            self._classes,
            self.probabilities,
            self.polygons,
        )
        try:
            for part in rows:
                outputs.write(part)
            files = outputs.finish()
        except BaseException:
            outputs.abandon()
            raise
        notes.note(stem, span.key, files)

    def _look(self, raster: Raster, notes: FinishedImages) -> Found:
        """Which rows of an image are still to be predicted."""
        key = notes.key(raster.pair)
        store = self._store(raster, key)
        if notes.holds(file_stem(raster.pair.name), key):
            store.remove()
            return Found((), key)
        store.prepare()
        return Found(tuple(store.missing() or store.forget_last()), key)

    def _store(self, raster: Raster, key: str) -> RowStore:
        return RowStore(self._folder, file_stem(raster.pair.name), key, raster.height)

    def _notes(self, trainer: Trainer, pl_module: LightningModule) -> FinishedImages:
        """Made when it is first needed: a checkpoint is loaded after the set-up."""
        if self._finished is None:
            way = fingerprint(
                pl_module,
                getattr(pl_module, "inference", None),
                trainer.precision,
                self._data.source.reader,
                self._classes,
                self.probabilities,
                self.polygons,
            )
            self._finished = FinishedImages(self._folder, way)
        return self._finished


class _OpenSpan:
    """The rows whose windows are coming."""

    def __init__(self, span: Span, weight: Tensor, rows: PredictedRows) -> None:
        layout, raster = span.raster.layout, span.raster
        assert isinstance(layout, WindowLayout), "only these can be stitched"
        self._first = span.seen[0]
        self._layout = layout
        self._stitching = Stitching(layout, weight, first_batch=span.batches.start)
        self._resizing = RowResizing(
            layout.image, (raster.height, raster.width), self._first, span.first
        )
        self.rows = rows

    def add(self, maps: Tensor, batch: int, corners: Sequence[tuple[int, int]]) -> None:
        """Takes a batch of windows, and decides the rows that it finishes."""
        self._stitching.add({"probabilities": maps}, corners)
        first, means = self._stitching.take(self._layout.finished_after(batch))
        # Rows above the span's are seen by windows that are missing here.
        for finished in self._resizing.add(
            means["probabilities"][:, max(self._first - first, 0) :]
        ):
            self.rows.add(finished)


def _label_values(
    wanted: Literal["dataset"] | Sequence[int] | None, data: Any, num_classes: int
) -> tuple[int, ...] | None:
    """What stands for each class in label files, where it is not its number.

    Raises:
        InputError: The dataset does not know it, or it is not a byte of its own for each class.
    """
    if wanted is None:
        return None
    if wanted == "dataset":
        found = getattr(data, "label_values", None)
        if found is None:
            raise InputError(
                "label_values is dataset, but the labels of this data hold no number for each "
                "class. Give a number for each class, such as [0, 255], or take it out."
            )
        wanted = found
    if isinstance(wanted, str) or not all(0 <= value <= IGNORE_INDEX for value in wanted):
        raise InputError(
            f"label_values is {wanted!r}, but a number from 0 to 255 for each class, or "
            "dataset, is expected."
        )
    if len(wanted) != num_classes or len(set(wanted)) != len(wanted):
        raise InputError(
            f"label_values is {list(wanted)}, but {num_classes} different numbers are needed, one "
            "for each class."
        )
    return tuple(wanted)


def _refuse_clashes(files: Mapping[Pair, Sequence[Path]]) -> None:
    """Refuses predictions that would replace each other, or what they are made of."""
    read = {
        path.resolve(): path
        for pair in files
        for path in (pair.image, pair.extra)
        if path is not None
    }
    written: dict[Path, Path] = {}
    for pair, paths in files.items():
        for path in paths:
            place = path.resolve()
            if place in read:
                raise InputError(
                    f"The prediction of {pair.image} would replace the image {read[place]}. Set "
                    "output_dir (--predictions.output_dir) to a folder of its own."
                )
            if place in written:
                raise InputError(
                    f"Predictions of {written[place]} and {pair.image} would both be called "
                    f"{path.name}. Rename one of the images."
                )
            written[place] = pair.image


def _why_whole(data: Any) -> str:
    """Why images are not predicted by windows, and what to do; see `as_rasters`."""
    if isinstance(data, SegmentationDataModule) and not data.eval_pipeline.changes_nothing:
        return "To change nothing, take out eval_transforms (networks take images of any size)."
    return "In Python, predict by a SegmentationTask with a RasterDataModule."


def _warn_of_lost_places(pairs: Sequence[Pair], why_whole: str = "") -> None:
    """Says once that labels of georeferenced images will have no place, where that is so."""
    for pair in pairs:
        image = pair.image
        if not is_raster(image) or not has_place(image):
            continue
        if why_whole:
            reason = f"they are predicted whole. {why_whole}"
        elif not becomes_geotiff(image):
            reason = "GeoTIFFs need rasterio: pip install 'lightning_seg[geo]'"
        elif is_turned(image):
            reason = "it is stored turned, as its tag Orientation says. Save it upright"
        else:
            continue
        rank_zero_warn(
            f"The labels of {image} (and of others like it) will have no place: {reason}"
        )
        return


def _tell_of_scales(inference: Any) -> None:
    if not isinstance(inference, TestTimeAugmentation) or inference.window is None:
        return
    if any(scale != 1 for scale in inference.scales):
        rank_zero_info(
            "Each window is scaled by itself here, while validate and test scale the image and "
            "then lay windows over it: labels can differ a little."
        )


def _label_maps(prediction: Any, num_classes: int) -> Sequence[Tensor] | None:
    """One label map (H, W) a sample; those in a list may differ in size."""
    labels = lookup(prediction, "labels")
    if isinstance(labels, list) and all(isinstance(one, Tensor) for one in labels):
        return [to_labels(one[None], num_classes)[0] for one in labels]
    maps = find_map(prediction, ("labels", *PREDICTION_KEYS))
    return None if maps is None else list(to_labels(maps, num_classes))


def _numbered(count: int, batch_indices: Sequence[int] | None, batch_idx: int) -> list[str]:
    if batch_indices and len(batch_indices) == count:
        return [f"{index:06d}" for index in batch_indices]
    return [f"batch_{batch_idx:06d}_{i}" for i in range(count)]
