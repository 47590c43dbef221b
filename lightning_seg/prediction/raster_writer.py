"""Callback that stitches predicted windows into rasters and writes them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from lightning_seg.errors import InputError
from lightning_seg.files import file_stem, final_names
from lightning_seg.inference import Stitching
from lightning_seg.own_files import refuse_foreign
from lightning_seg.prediction.geotiff import limited_cache
from lightning_seg.prediction.job import PredictionJob
from lightning_seg.prediction.outputs import ImageOutputs
from lightning_seg.prediction.raster_data import RasterDataModule
from lightning_seg.prediction.row_labels import RowLabels
from lightning_seg.prediction.row_resizing import RowResizing
from lightning_seg.prediction.row_spans import RowSpan
from lightning_seg.prediction.row_store import Rows, remove_empty


class RasterWriter(BasePredictionWriter):
    """Write the labels of images of any size and, on request, probabilities, entropy and polygons.

    A `RasterDataModule` provides windows of images. Their probabilities are averaged, and labels
    are computed row by row. The labels of a TIFF become a GeoTIFF with the same georeference, those
    of other images ``NAME.png``, both with the class colours. Finished images are noted in
    ``.finished`` beside the files and skipped the next time. Rows of an image that takes long, or
    that several processes share, are stored in ``.rows`` until the image is complete, so that an
    interrupted prediction resumes there. The process that completes an image writes its files.

    Args:
        job: Output folder, files and classes of the prediction.
    """

    def __init__(self, job: PredictionJob) -> None:
        super().__init__(write_interval="batch")
        self.job = job
        self._open: _OpenSpan | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the DataModule, which knows this process's spans."""
        super().setup(trainer, pl_module, stage)
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, RasterDataModule), "RasterWriter needs a RasterDataModule"
        self._data = data

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise if a file of any process would replace one that is not the run's own."""
        job = self.job
        paths = (path for raster in self._data.unfinished for path in job.paths(raster.pair))
        refuse_foreign([*paths, *job.mosaic_paths.values()], job.run)
        trainer.strategy.barrier()  # no process writes while another one still looks

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
        """Add a batch of windows; store or write the rows that it completes."""
        span, number = self._data.spans[batch["span"]], batch["batch"]
        if number == span.batches.start:
            self._open = self._begin(span, prediction.device)
        assert self._open is not None, "batches of a span come in order"
        self._open.add(prediction, number, batch["corners"])
        if number + 1 == span.batches.stop:
            self._finish(span, self._open.rows)
            self._open = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop an unfinished span, write the mosaic, and remove the folder of stored rows."""
        self._open = None
        if stage == "predict":
            self.job.write_mosaic([raster.pair for raster in self._data.rasters])
        if stage == "predict" and trainer.world_size == 1:
            remove_empty(self.job.folder)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Drop an unfinished span; Lightning skips teardown after an error."""
        self._open = None

    def _begin(self, span: RowSpan, device: torch.device) -> "_OpenSpan":
        job, raster = self.job, span.raster
        job.progress.forget(file_stem(raster.pair.name))
        store = job.store(raster, span.key)
        if not span.whole and not store.is_common():
            raise InputError(
                f"Several processes predict parts of {raster.pair.image}, but this one does not "
                f"see the first one's files in {job.folder.absolute()}. Set output_dir "
                "(--predictions.output_dir) to a folder that all machines share."
            )
        rows = RowLabels(store, span.first, span.last, job.files.maps, job.task.multi_label)
        return _OpenSpan(span, rows, device)

    def _finish(self, span: RowSpan, rows: RowLabels) -> None:
        """Store a span's rows; write the image's files once all its rows are there."""
        if span.whole and not rows.on_disk:
            self._write(span, rows.take())
            return
        rows.save()
        if rows.store.take():
            self._write(span, rows.store.rows())
            rows.store.remove()

    @limited_cache()
    def _write(self, span: RowSpan, rows: Iterable[Rows]) -> None:
        raster, job = span.raster, self.job
        with final_names():
            outputs = ImageOutputs(
                raster.pair.image,
                (raster.height, raster.width),
                job.stem(raster.pair),
                job.classes,
                job.files,
                job.run,
                self._data.source.reader.channels,
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
    """The span whose windows are being added."""

    def __init__(self, span: RowSpan, rows: RowLabels, device: torch.device) -> None:
        layout, raster = span.raster.layout, span.raster
        self._first = span.input_rows[0]
        self._layout = layout
        self._stitching = Stitching(layout, layout.weight(device), first_batch=span.batches.start)
        self._resizing = RowResizing(
            layout.image, (raster.height, raster.width), self._first, span.first
        )
        self.rows = rows

    def add(self, maps: Tensor, batch: int, corners: Sequence[tuple[int, int]]) -> None:
        """Add a batch of windows and label the rows that it completes."""
        self._stitching.add({"scores": maps}, corners)
        first, means = self._stitching.take(self._layout.finished_after(batch))
        # Rows above the span lack some of their windows here.
        for finished in self._resizing.add(means["scores"][:, max(self._first - first, 0) :]):
            self.rows.add(finished)
