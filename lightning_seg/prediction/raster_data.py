"""Images of any size as batches of windows, distributed over the processes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.utils.data import DataLoader, DistributedSampler

from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.pairs import Pair, check_alignment
from lightning_seg.errors import InputError
from lightning_seg.inference import WindowLayout
from lightning_seg.prediction.raster_windows import RasterWindows, WindowBatch
from lightning_seg.prediction.row_spans import Pending, Raster, RowSpan, share_out

# Largest window in pixels; no network processes more at once.
_MAX_WINDOW_PIXELS = 8192 * 8192


class RasterDataModule(LightningDataModule):
    """The prediction images of another DataModule, as windows; see `RasterWindows`.

    Every process gets about the same number of windows. An image with more windows than that is
    split among processes.

    Args:
        source: Provides the images and their classes.
        layout: Returns the windows over an image of (height, width).
        find_pending: Returns the rows of an image that are still to be predicted; by default all.

    Raises:
        InputError: (in setup) There are no images, a window is too large for any network, or an
            extra channel differs in size from its image.
    """

    def __init__(
        self,
        source: SegmentationDataModule,
        layout: Callable[[int, int], WindowLayout],
        find_pending: Callable[[Raster], Pending] | None = None,
    ) -> None:
        super().__init__()
        # With fewer rows than processes, some processes have nothing to do.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.source = source
        self.layout = layout
        self.find_pending = find_pending
        self.class_names = source.class_names
        self.class_colors = source.class_colors
        self.num_classes = source.num_classes
        self.label_values = source.label_values
        self.in_channels = source.in_channels
        self.rasters: tuple[Raster, ...] = ()
        self.spans: tuple[RowSpan, ...] = ()
        self.unfinished: tuple[Raster, ...] = ()

    def prepare_data(self) -> None:
        """Prepare the source's data."""
        self.source.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Collect the images and check their sizes."""
        pairs = self.source.predict_pairs()
        if not pairs:
            raise InputError(
                "There are no images to predict. Set data.predict_root to an image or a folder."
            )
        check_alignment(pairs, self.source.decoder, self.source.reader.image_downscale)
        self.rasters = tuple(map(self._raster, pairs))

    def predict_dataloader(self) -> DataLoader[WindowBatch]:
        """Return a loader of the windows over this process's rows."""
        trainer = self.trainer
        rank, world = 0, 1
        if trainer is not None:
            rank, world = trainer.global_rank, trainer.world_size
        pending = list(map(self._pending, self.rasters)) if rank == 0 else None
        if trainer is not None:
            # Other processes may start writing before this one could check the files itself.
            pending = trainer.strategy.broadcast(pending)
        assert pending is not None, "the first process broadcasts it"
        _report_progress(self.rasters, pending)
        images = list(zip(self.rasters, pending, strict=True))
        self.unfinished = tuple(raster for raster, image in images if image.missing)
        todo = [
            RowSpan(raster, *rows, image.key) for raster, image in images for rows in image.missing
        ]
        self.spans = share_out(todo, world)[rank]
        dataset = RasterWindows(self.spans, self.source.reader)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=_SequentialSampler(dataset),
            num_workers=self.source.num_workers,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_identity,
        )

    def _pending(self, raster: Raster) -> Pending:
        if self.find_pending is None:
            return Pending(((0, raster.height),))
        return self.find_pending(raster)

    def _raster(self, pair: Pair) -> Raster:
        height, width = image_size(pair.image)
        size = self.source.reader.size(pair)
        if not min(size):
            raise InputError(
                f"{pair.image} is {width} x {height} pixels, and nothing is left of it when images "
                f"are downscaled {self.source.reader.image_factor} times. Remove it from the "
                "folder."
            )
        layout = self.layout(*size)
        if layout.size[0] * layout.size[1] > _MAX_WINDOW_PIXELS:
            raise InputError(
                f"{pair.image} is {size[1]} x {size[0]} pixels, too large to predict whole. "
                "Predict it by windows: --model.inference configs/inference/aerial_windows.yaml, "
                "or inference: {size: [512, 512], overlap: 0.5} in the model's settings."
            )
        return Raster(pair, height, width, layout)


def _report_progress(rasters: Sequence[Raster], pending: Sequence[Pending]) -> None:
    complete = sum(not image.missing for image in pending)
    started = sum(
        image.missing not in ((), ((0, raster.height),))
        for raster, image in zip(rasters, pending, strict=True)
    )
    if complete or started:
        parts = f", and parts of {started} more" if started else ""
        rank_zero_info(f"{complete} of {len(rasters)} images are already predicted{parts}.")


class _SequentialSampler(DistributedSampler[WindowBatch]):
    """Sequential sampler of this process's own share.

    It is a DistributedSampler, so that Lightning does not distribute the share a second time.
    """

    def __init__(self, dataset: RasterWindows) -> None:
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=False)

    def __iter__(self) -> Any:
        return iter(range(len(self.dataset)))  # type: ignore[arg-type]


def _identity(sample: Any) -> Any:
    return sample
