"""Random training crops of rasters too large to read whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from lightning_seg.data.datasets import Sample, make_sample, scale_values
from lightning_seg.data.labels import IGNORE_INDEX, ColorLabels
from lightning_seg.data.pairs import Pair
from lightning_seg.data.rasters import Window, raster_size
from lightning_seg.data.reading import fit_channels, label_colors, read_window
from lightning_seg.data.transforms import TransformPipeline, draw_seed


class RandomCrops(Dataset[Sample]):
    """Square crops at random places, read without the rest of the raster.

    Every visit draws a new place from torch's random state; larger rasters are visited more often,
    so that every pixel is as likely. A raster smaller than the crop is mirrored at its lower and
    right edge, and ignored there. Samples are those of PairDataset.

    Args:
        pairs: TIFF rasters with colour labels.
        decoder: Decodes labels.
        in_channels: Channels of every raster.
        pipeline: Transforms of image and mask.
        crop_size: Height and width of a crop in pixels.
        length: Crops an epoch.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        decoder: ColorLabels,
        in_channels: int,
        pipeline: TransformPipeline,
        crop_size: int,
        length: int,
    ) -> None:
        self.pairs = tuple(pairs)
        self.decoder = decoder
        self.in_channels = in_channels
        self.pipeline = pipeline
        self.crop_size = crop_size
        self.length = length
        self._sizes = [raster_size(pair.image) for pair in self.pairs]
        pixels = np.array([height * width for height, width in self._sizes])
        self._shares = pixels / pixels.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        random = np.random.default_rng(draw_seed(index))
        place = int(random.choice(len(self.pairs), p=self._shares))
        pair, window = self.pairs[place], self._window(random, *self._sizes[place])
        image = self._read_image(pair.image, window)
        mask = self._read_mask(pair.label, window) if pair.label is not None else None
        image, mask = self.pipeline(image, mask, int(random.integers(2**31)))
        return make_sample(image, mask, pair.name)

    def _window(self, random: np.random.Generator, height: int, width: int) -> Window:
        rows, columns = min(self.crop_size, height), min(self.crop_size, width)
        row = int(random.integers(height - rows + 1))
        column = int(random.integers(width - columns + 1))
        return Window(row, column, rows, columns)

    def _read_image(self, path: Path, window: Window) -> np.ndarray:
        image = fit_channels(read_window(path, window), self.in_channels, path)
        image = scale_values(image, None, path)
        missing = (self.crop_size - window.height, self.crop_size - window.width)
        return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")

    def _read_mask(self, path: Path, window: Window) -> np.ndarray:
        label = label_colors(read_window(path, window), path)
        mask = self.decoder(label, path, (window.row, window.column))
        missing = (self.crop_size - window.height, self.crop_size - window.width)
        return np.pad(mask, ((0, missing[0]), (0, missing[1])), constant_values=IGNORE_INDEX)
