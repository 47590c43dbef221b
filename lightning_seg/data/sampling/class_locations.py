"""Locations of each class in a set of label maps, to draw all classes equally often."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.data.sampling.class_counts import masks_key
from lightning_seg.errors import InputError
from lightning_seg.files import DAMAGED_ARCHIVE, OWN_FOLDER, atomic_file

_BLOCK = 64
_BLOCKS_AT_ONCE = 8


class ClassLocations:
    """Blocks of label maps and their pixel counts of each class.

    Args:
        blocks: (N, 5) int64: index of the label map, row, column, height and width of each block.
        pixels: (N, K) int64: pixels of each class in each block.
    """

    def __init__(self, blocks: np.ndarray, pixels: np.ndarray) -> None:
        self.blocks = blocks
        self.pixels = pixels
        # (K, N), for binary search among a million blocks.
        self._pixels_so_far = np.ascontiguousarray(pixels.cumsum(axis=0).T)

    def draw(self, random: np.random.Generator) -> tuple[int, Window, int]:
        """Draw a label map's index, a block in it and a class in the block.

        All present classes are equally likely, and so are all pixels of a class.
        """
        totals = self._pixels_so_far[:, -1]
        number = int(random.choice(np.flatnonzero(totals)))
        pixel = random.integers(totals[number])
        block = np.searchsorted(self._pixels_so_far[number], pixel, side="right")
        map_index, *window = map(int, self.blocks[block])
        return map_index, Window(*window), number


def class_locations(
    pairs: Sequence[Pair], reader: PairReader, num_workers: int = 0
) -> ClassLocations:
    """Locate the classes in all label maps, read in strips of rows.

    Args:
        pairs: Pairs with labels.
        reader: Reader of the pairs.
        num_workers: Worker processes; 0 reads in the main process.
    """
    blocks, pixels = [], []
    workers = min(num_workers, len(pairs))
    generator = torch.Generator().manual_seed(0)  # leaves the random numbers of training unchanged
    loader = DataLoader(
        _Blocks(pairs, reader), batch_size=None, num_workers=workers, generator=generator
    )
    for map_index, (where, counts) in enumerate(loader):
        blocks.append(np.insert(where.numpy(), 0, map_index, axis=1))
        pixels.append(counts.numpy())
    locations = ClassLocations(np.concatenate(blocks), np.concatenate(pixels))
    if not locations.pixels.any():
        raise InputError(
            "The training labels hold no pixel of any class, so crops cannot be balanced between "
            "classes. Check the labels."
        )
    return locations


def cached_locations(
    pairs: Sequence[Pair], reader: PairReader, num_workers: int, root: Path
) -> ClassLocations:
    """Return `class_locations`, cached in a file below ``root`` as long as `masks_key` stays.

    If ``root`` is not writable, the labels are read every time.
    """
    key = masks_key(pairs, reader, root)
    file = root / OWN_FOLDER / f"class_locations_{key}_{_BLOCK}.npz"
    # A damaged cache file is ignored and replaced.
    with suppress(*DAMAGED_ARCHIVE), np.load(file) as cached:
        return ClassLocations(cached["blocks"], cached["pixels"])
    locations = class_locations(pairs, reader, num_workers)
    with suppress(OSError), atomic_file(file) as opened:
        np.savez_compressed(opened, blocks=locations.blocks, pixels=locations.pixels)
    return locations


class _Blocks(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Blocks (N, 4) and their pixel counts (N, K) for each label map."""

    def __init__(self, pairs: Sequence[Pair], reader: PairReader) -> None:
        self.pairs = tuple(pairs)
        self.reader = reader

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair, classes = self.pairs[index], self.reader.decoder.num_classes
        height, width = self.reader.size(pair)
        step = _BLOCK * _BLOCKS_AT_ONCE
        windows, counts = [], []
        for top in range(0, height, step):
            mask = self.reader.mask(pair, Window(top, 0, min(step, height - top), width))
            assert mask is not None, "training pairs have labels"
            for row in range(0, len(mask), _BLOCK):
                for column in range(0, width, _BLOCK):
                    block = mask[row : row + _BLOCK, column : column + _BLOCK]
                    windows.append((top + row, column, *block.shape))
                    counts.append(np.bincount(block.reshape(-1), minlength=256)[:classes])
        return torch.tensor(windows), torch.from_numpy(np.stack(counts))
