"""Random training crops of rasters too large to read whole."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from lightning_seg.data.class_places import ClassPlaces
from lightning_seg.data.datasets import Sample, make_sample
from lightning_seg.data.labels import IGNORE_INDEX
from lightning_seg.data.pair_reader import PairReader
from lightning_seg.data.pairs import Pair
from lightning_seg.data.rasters import Window
from lightning_seg.data.targets_cache import TargetsCache
from lightning_seg.data.transforms import TransformPipeline, draw_seed


class RandomCrops(Dataset[Sample]):
    """Square crops at random places; of TIFF rasters nothing else is read.

    Every visit draws a new place from torch's random state; larger rasters are visited more often,
    so that every pixel is as likely. A raster smaller than the crop is mirrored at its lower and
    right edge, and ignored there. Samples are those of PairDataset and ``window`` int64 (4,): row,
    column, height and width of what was read.

    Args:
        pairs: The rasters.
        reader: Reads them.
        pipeline: Transforms of image and mask.
        crop_size: Height and width of a crop in pixels.
        length: Crops an epoch.
        places: Where classes lie: draws a class, each as often, and a crop around a pixel of it. By
            default all places are as likely.
        cache: Gives ``targets``, maps (C, crop_size, crop_size) by key.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        reader: PairReader,
        pipeline: TransformPipeline,
        crop_size: int,
        length: int,
        places: ClassPlaces | None = None,
        cache: TargetsCache | None = None,
    ) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader
        self.pipeline = pipeline
        self.crop_size = crop_size
        self.length = length
        self.places = places
        self.cache = cache
        self._sizes = [reader.size(pair) for pair in self.pairs]
        pixels = np.array([height * width for height, width in self._sizes])
        self._shares = pixels / pixels.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        random = np.random.default_rng(draw_seed(index))
        place, window = self._draw(random)
        pair = self.pairs[place]
        further = self.reader.further_channel(pair, window)
        codes = None if self.cache is None else self.cache.read(pair, window)
        image, mask, further, codes = self.pipeline.apply(
            self._mirrored(self.reader.image(pair, window)),
            self._ignored_beyond(self.reader.mask(pair, window)),
            None if further is None else self._mirrored(further),
            int(random.integers(2**31)),
            self._ignored_beyond(codes),
        )
        sample = make_sample(image, mask, further, name=pair.name) | {
            "window": torch.tensor(window)
        }
        if self.cache is not None and codes is not None:
            sample["targets"] = self.cache.decode(codes)
        return sample

    def _draw(self, random: np.random.Generator) -> tuple[int, Window]:
        if self.places is None:
            place = int(random.choice(len(self.pairs), p=self._shares))
            return place, self._window(random, *self._sizes[place])
        place, block, number = self.places.draw(random)
        mask = self.reader.mask(self.pairs[place], block)
        assert mask is not None, "training pairs have labels"
        row, column = random.choice(np.argwhere(mask == number)).tolist()
        height, width = self._sizes[place]
        return place, Window(
            self._start(block.row + row, height),
            self._start(block.column + column, width),
            min(self.crop_size, height),
            min(self.crop_size, width),
        )

    def _start(self, middle: int, length: int) -> int:
        return max(min(middle - self.crop_size // 2, length - self.crop_size), 0)

    def _window(self, random: np.random.Generator, height: int, width: int) -> Window:
        rows, columns = min(self.crop_size, height), min(self.crop_size, width)
        row = int(random.integers(height - rows + 1))
        column = int(random.integers(width - columns + 1))
        return Window(row, column, rows, columns)

    def _mirrored(self, image: np.ndarray) -> np.ndarray:
        return np.pad(image, (*self._missing(image), (0, 0)), mode="symmetric")

    def _ignored_beyond(self, mask: np.ndarray | None) -> np.ndarray | None:
        if mask is None:
            return None
        sides = (*self._missing(mask), (0, 0))[: mask.ndim]
        return np.pad(mask, sides, constant_values=IGNORE_INDEX)

    def _missing(self, array: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
        height, width = array.shape[:2]
        return (0, self.crop_size - height), (0, self.crop_size - width)
