"""Training crops of large rasters."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.data.samples import Sample, make_sample
from lightning_seg.data.sampling.class_locations import ClassLocations
from lightning_seg.data.sampling.regions import FreeCorners
from lightning_seg.data.transforms import TransformPipeline, draw_seed
from lightning_seg.errors import InputError

# Attempts to draw a crop around a class that touches no excluded region.
_TRIES = 100


class Crops(Dataset[Sample]):
    """Square crops of rasters; only the crop is read from TIFFs.

    No crop touches the excluded regions of a pair, ``without``. A raster smaller than the crop is
    mirrored at its lower and right edges; the mask is ignored there. Samples are those of
    `PairDataset` with ``window`` int64 (4,): row, column, height and width of the area read.

    Args:
        pairs: The rasters.
        reader: Reader of the rasters.
        pipeline: Transforms for image and mask.
        crop_size: Height and width of a crop in pixels.

    Raises:
        InputError: No crop fits beside the excluded regions.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        reader: PairReader,
        pipeline: TransformPipeline,
        crop_size: int,
    ) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader
        self.pipeline = pipeline
        self.crop_size = crop_size
        self._sizes = [reader.size(pair) for pair in self.pairs]
        self._free = [
            FreeCorners(size, self._of_crop(size), pair.without)
            for size, pair in zip(self._sizes, self.pairs, strict=True)
        ]
        if self.pairs and not any(free.count for free in self._free):
            raise InputError(
                f"No crop of {crop_size} x {crop_size} pixels fits beside the evaluated "
                "regions. Set crop_size to a smaller number, or make the regions smaller."
            )

    @abstractmethod
    def __len__(self) -> int:
        """Crops per epoch."""

    @abstractmethod
    def _draw(self, index: int, random: np.random.Generator) -> tuple[int, Window]:
        """Return a raster's index and the crop's window."""

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        random = np.random.default_rng(draw_seed(index))
        raster, window = self._draw(index, random)
        pair = self.pairs[raster]
        extra_channel = self.reader.extra_channel(pair, window)
        image, mask, extra_channel = self.pipeline.apply(
            self._mirrored(self.reader.image(pair, window)),
            self._ignored_beyond(self.reader.mask(pair, window)),
            None if extra_channel is None else self._mirrored(extra_channel),
            int(random.integers(2**31)),
            pair.image,
        )
        sample = make_sample(image, mask, extra_channel, name=pair.name)
        return sample | {"window": torch.tensor(window)}

    def _of_crop(self, size: tuple[int, int]) -> tuple[int, int]:
        return min(self.crop_size, size[0]), min(self.crop_size, size[1])

    def _mirrored(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == (self.crop_size, self.crop_size):
            return image
        return np.pad(image, (*self._missing(image), (0, 0)), mode="symmetric")

    def _ignored_beyond(self, mask: np.ndarray | None) -> np.ndarray | None:
        if mask is None or mask.shape[:2] == (self.crop_size, self.crop_size):
            return mask
        missing = (*self._missing(mask), (0, 0))[: mask.ndim]
        return np.pad(mask, missing, constant_values=IGNORE_INDEX)

    def _missing(self, array: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
        height, width = array.shape[:2]
        return (0, self.crop_size - height), (0, self.crop_size - width)


class RandomCrops(Crops):
    """Random crops, drawn at every access from torch's random state.

    Rasters are drawn in proportion to their area, so that all pixels are equally likely.

    Args:
        length: Crops per epoch.
        locations: Draw a class uniformly, then a crop around one of its pixels. By
            default all positions are equally likely.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        reader: PairReader,
        pipeline: TransformPipeline,
        crop_size: int,
        length: int,
        locations: ClassLocations | None = None,
    ) -> None:
        super().__init__(pairs, reader, pipeline, crop_size)
        self.length = length
        self.locations = locations
        pixels = np.array(
            [
                (height * width - sum(part.height * part.width for part in pair.without))
                * (free.count > 0)
                for (height, width), pair, free in zip(
                    self._sizes, self.pairs, self._free, strict=True
                )
            ]
        )
        self._shares = pixels / pixels.sum()

    def __len__(self) -> int:
        return self.length

    def _draw(self, index: int, random: np.random.Generator) -> tuple[int, Window]:
        if self.locations is not None:
            for _ in range(_TRIES):
                raster, window = self._around_a_class(self.locations, random)
                if window[:2] in self._free[raster]:
                    return raster, window
        raster = int(random.choice(len(self.pairs), p=self._shares))
        return raster, Window(*self._free[raster].draw(random), *self._of_crop(self._sizes[raster]))

    def _around_a_class(
        self, locations: ClassLocations, random: np.random.Generator
    ) -> tuple[int, Window]:
        raster, block, number = locations.draw(random)
        mask = self.reader.mask(self.pairs[raster], block)
        assert mask is not None, "training pairs have labels"
        found = np.argwhere(mask == number)
        # There is none if the file has changed since.
        row, column = random.choice(found).tolist() if len(found) else (0, 0)
        height, width = self._sizes[raster]
        return raster, Window(
            self._start(block.row + row, height),
            self._start(block.column + column, width),
            *self._of_crop((height, width)),
        )

    def _start(self, middle: int, length: int) -> int:
        return max(min(middle - self.crop_size // 2, length - self.crop_size), 0)


class GridCrops(Crops):
    """All crops on a regular grid, each once per epoch.

    Args:
        stride: Distance between neighbouring crops in pixels.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        reader: PairReader,
        pipeline: TransformPipeline,
        crop_size: int,
        stride: int,
    ) -> None:
        super().__init__(pairs, reader, pipeline, crop_size)
        self._crops = [
            (raster, Window(*corner, *self._of_crop(self._sizes[raster])))
            for raster, free in enumerate(self._free)
            for corner in free.on_grid(stride)
        ]

    def __len__(self) -> int:
        return len(self._crops)

    def _draw(self, index: int, random: np.random.Generator) -> tuple[int, Window]:
        return self._crops[index]
