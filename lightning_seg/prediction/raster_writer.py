"""Windows of rasters put together, decided and written."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from lightning_seg.callbacks.files import file_stem
from lightning_seg.errors import InputError
from lightning_seg.inference import Stitching
from lightning_seg.prediction.geotiff import small_cache
from lightning_seg.prediction.job import PredictionJob
from lightning_seg.prediction.outputs import ImageOutputs
from lightning_seg.prediction.raster_data import RasterDataModule
from lightning_seg.prediction.row_labels import RowLabels
from lightning_seg.prediction.row_resizing import RowResizing
from lightning_seg.prediction.row_spans import RowSpan
from lightning_seg.prediction.row_store import Rows, remove_empty


class RasterWriter(BasePredictionWriter):
    """Writes the labels of images of any size, and probabilities and outlines where asked for.

    From a `RasterDataModule` come windows of images, whose probabilities are averaged and decided
    row by row: labels of a TIFF become a GeoTIFF in the same place, those of other images
    ``NAME.png``, both with the classes' colours. Images that this model has predicted already are
    noted beside the files (``.finished``) and left out. Rows of an image that takes long, or that
    several processes share, are kept in ``.rows`` until all are there; a prediction that was killed
    goes on with the others. An image is written by the process that finishes it.

    Args:
        job: Says where to and what.
    """

    def __init__(self, job: PredictionJob) -> None:
        super().__init__(write_interval="batch")
        self.job = job
        self._open: _OpenSpan | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes the spans of this process from the data."""
        super().setup(trainer, pl_module, stage)
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, RasterDataModule), "a RasterWriter writes what that gives"
        self._data = data

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
        """Adds a batch of windows; writes the rows of an image that it finishes."""
        self._add(prediction, batch)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lets go of what was begun and not finished."""
        self._open = None
        if stage == "predict" and trainer.world_size == 1:
            remove_empty(self.job.folder)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """The same: where a step fails, there is no teardown."""
        self._open = None

    def _add(self, maps: Tensor, batch: Mapping[str, Any]) -> None:
        span, number = self._data.spans[batch["span"]], batch["batch"]
        if number == span.batches.start:
            self._open = self._begin(span, maps.device)
        assert self._open is not None, "batches of a span come in order"
        self._open.add(maps, number, batch["corners"])
        if number + 1 == span.batches.stop:
            self._finish(span, self._open.rows)
            self._open = None

    def _begin(self, span: RowSpan, device: torch.device) -> "_OpenSpan":
        job, raster = self.job, span.raster
        job.progress.forget(file_stem(raster.pair.name))
        store = job.store(raster, span.key)
        if not span.whole and not store.is_common():
            raise InputError(
                f"Several processes predict parts of {raster.pair.image}, but the first one's "
                f"{job.folder.absolute()} is not here. Set output_dir (--predictions.output_dir) "
                "to a folder that all machines share."
            )
        rows = RowLabels(store, span.first, span.last, job.files.probabilities)
        return _OpenSpan(span, rows, device)

    def _finish(self, span: RowSpan, rows: RowLabels) -> None:
        """Keeps a span's rows, and writes the image's files where all its rows are there."""
        if span.whole and not rows.on_disk:
            self._write(span, rows.take())
            return
        rows.save()
        if rows.store.take():
            self._write(span, rows.store.rows())
            rows.store.remove()

    @small_cache()
    def _write(self, span: RowSpan, rows: Iterable[Rows]) -> None:
        raster, job = span.raster, self.job
        outputs = ImageOutputs(
            raster.pair.image,
            (raster.height, raster.width),
            job.stem(raster.pair),
            job.classes,
            job.files.probabilities,
            job.files.polygons,
        )
        try:
            for part in rows:
                outputs.write(part)
            files: list[Path] = outputs.finish()
        except BaseException:
            outputs.abandon()
            raise
        job.progress.note(file_stem(raster.pair.name), span.key, files)


class _OpenSpan:
    """The rows whose windows are coming."""

    def __init__(self, span: RowSpan, rows: RowLabels, device: torch.device) -> None:
        layout, raster = span.raster.layout, span.raster
        self._first = span.seen[0]
        self._layout = layout
        self._stitching = Stitching(layout, layout.weight(device), first_batch=span.batches.start)
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
