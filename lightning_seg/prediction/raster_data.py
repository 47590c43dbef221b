"""Images of any size as batches of windows, shared among the processes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.utils.data import DataLoader, DistributedSampler

from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.reading.image_files import image_size
from lightning_seg.data.reading.pairs import Pair, check_sizes
from lightning_seg.errors import InputError
from lightning_seg.inference import WindowLayout
from lightning_seg.prediction.raster_windows import RasterWindows, WindowBatch
from lightning_seg.prediction.row_spans import Pending, Raster, RowSpan, share_out

# More pixels than any network takes at once.
_MOST_AT_ONCE = 8192 * 8192


class RasterDataModule(LightningDataModule):
    """The images that another DataModule predicts, as windows; see `RasterWindows`.

    Each process gets about as many windows; an image with more of them than that is shared.

    Args:
        source: Says which images, and what their classes are.
        layout: Where windows lie over an image of (height, width).
        find_pending: What is still to be predicted of an image; by default all of it.

    Raises:
        InputError: (in setup) A window is larger than any network takes, or a further channel is of
            another size than its image.
    """

    def __init__(
        self,
        source: SegmentationDataModule,
        layout: Callable[[int, int], WindowLayout],
        find_pending: Callable[[Raster], Pending] | None = None,
    ) -> None:
        super().__init__()
        # Where there is less than one row for each process, some have nothing to do.
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

    def prepare_data(self) -> None:
        """The source's own."""
        self.source.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Finds and checks the images and their sizes."""
        pairs = self.source.predict_pairs()
        if not pairs:
            raise InputError("There are no images to predict. Check the folder.")
        check_sizes(pairs, self.source.decoder, self.source.reader.image_reduction)
        self.rasters = tuple(map(self._raster, pairs))

    def predict_dataloader(self) -> DataLoader[WindowBatch]:
        """The windows over this process's rows."""
        trainer = self.trainer
        rank, world = 0, 1
        if trainer is not None:
            rank, world = trainer.global_rank, trainer.world_size
        pending = list(map(self._pending, self.rasters)) if rank == 0 else None
        if trainer is not None:
            # Another process may begin to predict before this one has looked at the files.
            pending = trainer.strategy.broadcast(pending)
        assert pending is not None, "the first process has it"
        _report_progress(self.rasters, pending)
        todo = [
            RowSpan(raster, *rows, one.key)
            for raster, one in zip(self.rasters, pending, strict=True)
            for rows in one.missing
        ]
        self.spans = share_out(todo, world)[rank]
        dataset = RasterWindows(self.spans, self.source.reader)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=_InOrder(dataset),
            num_workers=self.source.num_workers,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,
        )

    def _pending(self, raster: Raster) -> Pending:
        if self.find_pending is None:
            return Pending(((0, raster.height),))
        return self.find_pending(raster)

    def _raster(self, pair: Pair) -> Raster:
        height, width = image_size(pair.image)
        seen = self.source.reader.size(pair)
        if not min(seen):
            raise InputError(
                f"{pair.image} is {width} x {height} pixels, of which nothing is left where images "
                f"are shrunk {self.source.reader.image_factor} times. Take it out of the folder."
            )
        layout = self.layout(*seen)
        if layout.size[0] * layout.size[1] > _MOST_AT_ONCE:
            raise InputError(
                f"{pair.image} is {seen[1]} x {seen[0]} pixels, too many for a network at once. "
                "Predict it by windows: --model.inference configs/inference/aerial_windows.yaml, "
                "or inference: {size: [512, 512], overlap: 0.5} in the model's settings."
            )
        return Raster(pair, height, width, layout)


def _report_progress(rasters: Sequence[Raster], pending: Sequence[Pending]) -> None:
    whole = sum(not one.missing for one in pending)
    begun = sum(
        one.missing not in ((), ((0, raster.height),))
        for raster, one in zip(rasters, pending, strict=True)
    )
    if whole or begun:
        more = f", and parts of {begun} more" if begun else ""
        rank_zero_info(f"{whole} of {len(rasters)} images are predicted already{more}.")


class _InOrder(DistributedSampler[WindowBatch]):
    """What this process has been given already; Lightning would share it out once more."""

    def __init__(self, dataset: RasterWindows) -> None:
        super().__init__(dataset, num_replicas=1, rank=0, shuffle=False)

    def __iter__(self) -> Any:
        return iter(range(len(self.dataset)))  # type: ignore[arg-type]


def _as_it_is(sample: Any) -> Any:
    return sample
