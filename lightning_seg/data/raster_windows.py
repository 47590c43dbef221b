"""Images of any size as batches of windows, for prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lightning_seg.data.band import Band
from lightning_seg.data.base import SegmentationDataModule
from lightning_seg.data.pair_reader import PairReader, as_decimals
from lightning_seg.data.pairs import Pair, check_sizes
from lightning_seg.data.rasters import Window
from lightning_seg.data.reading import image_size
from lightning_seg.errors import InputError

# More pixels than any network takes at once.
_MOST_AT_ONCE = 8192 * 8192

WindowBatch = dict[str, Any]


class Layout(Protocol):
    """Where windows lie over an image that is continued by reflection; see WindowLayout."""

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the image."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a window."""

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the continued image at which the image begins."""

    @property
    def batches(self) -> list[list[tuple[int, int]]]:
        """Upper left corners of each batch's windows in the continued image, from the top on."""

    def batches_over(self, first: int, last: int) -> range:
        """Numbers of the batches with a window over the image's rows from one to another."""


@dataclass(frozen=True)
class Raster:
    """An image to predict.

    Args:
        pair: Its name and files.
        height: The file's height in pixels, upright.
        width: Its width in pixels.
        layout: Where windows lie over the image as it is read, which may be smaller.
    """

    pair: Pair
    height: int
    width: int
    layout: Layout


@dataclass(frozen=True)
class Span:
    """Rows of an image to predict.

    Args:
        raster: The image.
        first: The first row, of the file.
        last: The row after the last.
        key: That of `Found`.
    """

    raster: Raster
    first: int
    last: int
    key: str = ""

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the image."""
        return self.first == 0 and self.last == self.raster.height

    @property
    def seen(self) -> tuple[int, int]:
        """First and last row, exclusively, of the image as it is read, to interpolate these of."""
        height = self.raster.layout.image[0]
        factor = self.raster.height // height
        if factor == 1:
            return self.first, self.last
        # What is left over at the lower border moves rows by less than one.
        return max(self.first // factor - 2, 0), min(self.last // factor + 2, height)

    @cached_property
    def batches(self) -> range:
        """Numbers of the image's batches that these rows need."""
        return self.raster.layout.batches_over(*self.seen)

    def cut(self, pieces: int) -> list["Span"]:
        """About equal parts of it."""
        rows = self.last - self.first
        pieces = min(pieces, rows)
        ends = [self.first + rows * piece // pieces for piece in range(pieces + 1)]
        return [Span(self.raster, *part, self.key) for part in pairwise(ends)]


@dataclass(frozen=True)
class Found:
    """What is still to be predicted of an image.

    Args:
        missing: First and last row, exclusively, of each part.
        key: Stands for the image, and the way in which it is predicted, as they are now. The first
            process alone finds it, so that it is the same for all.
    """

    missing: tuple[tuple[int, int], ...]
    key: str = ""


class RasterWindows(Dataset[WindowBatch]):
    """The windows of images, a batch a sample, without holding more than some rows of an image.

    A sample is a dict: ``image`` float32 (N, C, *size) in [0, 1]; ``span``, the number of the span;
    ``batch``, the number of this batch among its image's; ``corners``, where its windows lie. All
    batches of a span come one after the other.

    Args:
        spans: Images, or rows of them.
        reader: Reads their files.
    """

    def __init__(self, spans: Sequence[Span], reader: PairReader) -> None:
        self.spans = tuple(spans)
        self.reader = reader
        self._samples = [
            (number, batch) for number, span in enumerate(self.spans) for batch in span.batches
        ]
        self._open: tuple[int, list[Band]] | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> WindowBatch:
        number, batch = self._samples[index]
        raster = self.spans[number].raster
        if self._open is None or self._open[0] != number:
            self._open = None  # the last span's rows go before the next one's come
            self._open = number, self._bands(raster.pair)
        corners = raster.layout.batches[batch]
        image, *further = (np.stack(_crops(b, raster.layout, corners)) for b in self._open[1])
        if further:
            image = np.concatenate([as_decimals(image), *further], axis=3)
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
        scaled = tensor.float().div_(255.0) if tensor.dtype == torch.uint8 else tensor.float()
        return {"image": scaled, "span": number, "batch": batch, "corners": corners}

    def _bands(self, pair: Pair) -> list[Band]:
        """The image's own rows, and those of its further channel if it has one."""
        reader = self.reader
        bands = [Band(pair.image, partial(reader.image, pair), reader.image_factor)]
        if pair.extra is not None and reader.extra is not None:
            bands.append(Band(pair.extra, partial(_further, reader, pair), reader.image_factor))
        return bands


def _further(reader: PairReader, pair: Pair, window: Window | None) -> np.ndarray:
    channel = reader.further_channel(pair, window)
    assert channel is not None, "only pairs that have one are asked"
    return channel


def _crops(band: Band, layout: Layout, corners: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    (top, left), (height, width) = layout.origin, layout.size
    rows_of = [reflected(row - top, height, band.height) for row, _ in corners]
    first, last = min(map(_first, rows_of)), max(map(_last, rows_of)) + 1
    pixels = band.read(first, last)
    crops = []
    for rows, (_, column) in zip(rows_of, corners, strict=True):
        columns = reflected(column - left, width, band.width)
        crops.append(_take(_take(pixels, columns, 0, axis=1), rows, first, axis=0))
    return crops


def reflected(start: int, length: int, whole: int) -> np.ndarray:
    """Where positions from ``start`` on lie in what is reflected at both ends, back and forth."""
    period = max(2 * (whole - 1), 1)
    index = np.arange(start, start + length) % period
    return np.minimum(np.minimum(index, period - index), whole - 1)


def _first(index: np.ndarray) -> int:
    return int(index.min())


def _last(index: np.ndarray) -> int:
    return int(index.max())


def _take(pixels: np.ndarray, index: np.ndarray, first: int, axis: int) -> np.ndarray:
    if int(index[-1]) - int(index[0]) != len(index) - 1:
        return pixels.take(index - first, axis)
    # No copy of what is wanted as it lies.
    part = slice(int(index[0]) - first, int(index[-1]) - first + 1)
    return pixels[part] if axis == 0 else pixels[:, part]


class RasterDataModule(LightningDataModule):
    """The images that another DataModule predicts, as windows; see `RasterWindows`.

    Each process gets about as many windows; an image with more of them than that is shared.

    Args:
        source: Says which images, and what their classes are.
        layout: Where windows lie over an image of (height, width).
        look: What is still to be predicted of an image; by default all of it.

    Raises:
        InputError: (in setup) A window is larger than any network takes, or a further channel is of
            another size than its image.
    """

    def __init__(
        self,
        source: SegmentationDataModule,
        layout: Callable[[int, int], Layout],
        look: Callable[[Raster], Found] | None = None,
    ) -> None:
        super().__init__()
        # Where there is less than one row for each process, some have nothing to do.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.source = source
        self.layout = layout
        self.look = look
        self.class_names = source.class_names
        self.class_colors = source.class_colors
        self.num_classes = source.num_classes
        self.label_values = source.label_values
        self.in_channels = source.in_channels
        self.rasters: tuple[Raster, ...] = ()
        self.spans: tuple[Span, ...] = ()

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
        found = list(map(self._look, self.rasters)) if rank == 0 else None
        if trainer is not None:
            # Another process may begin to predict before this one has looked.
            found = trainer.strategy.broadcast(found)
        assert found is not None, "the first process has looked"
        _tell_what_is_there(self.rasters, found)
        todo = [
            Span(raster, *rows, one.key)
            for raster, one in zip(self.rasters, found, strict=True)
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

    def _look(self, raster: Raster) -> Found:
        return Found(((0, raster.height),)) if self.look is None else self.look(raster)

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


def share_out(spans: Sequence[Span], processes: int) -> list[tuple[Span, ...]]:
    """Which spans each process gets, in order.

    A span with more windows than an even share is cut where that leaves the busiest process less to
    do: windows over rows at a cut are seen by both sides.
    """
    uncut = _shared(spans, processes)
    if processes == 1 or not spans:
        return uncut
    share = -(-_cost(spans) // processes)
    pieces = [span.cut(-(-len(span.batches) // share)) for span in spans]
    cut = _shared([part for parts in pieces for part in parts], processes)
    return min(uncut, cut, key=lambda shares: max(map(_cost, shares)))


def _shared(spans: Sequence[Span], processes: int) -> list[tuple[Span, ...]]:
    shares: list[list[int]] = [[] for _ in range(processes)]
    loads = [0] * processes
    costs = [len(span.batches) for span in spans]
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = loads.index(min(loads))
        shares[least].append(item)
        loads[least] += costs[item]
    return [tuple(spans[item] for item in sorted(share)) for share in shares]


def _cost(spans: Sequence[Span]) -> int:
    return sum(len(span.batches) for span in spans)


def _tell_what_is_there(rasters: Sequence[Raster], found: Sequence[Found]) -> None:
    whole = sum(not one.missing for one in found)
    begun = sum(
        one.missing not in ((), ((0, raster.height),))
        for raster, one in zip(rasters, found, strict=True)
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
