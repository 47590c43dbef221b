"""Synthetic aerial scenes, written and read in Potsdam's layout."""

from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from rich.progress import track

from lightning_seg.data.base import Split
from lightning_seg.data.datasets.isprs import ISPRS_CLASSES, ISPRSDataModule
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.scenes import SCENES_VERSION, SMALLEST_SCENE, render_scene
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically

# A row of tiles for each split, as in Potsdam's names "row_column".
_ROWS: dict[Split, int] = {"train": 2, "val": 3, "test": 4}
_FIRST_COLUMN = 10
_MOST_SCENES = 100_000
_TIFF_BLOCK = 256


class SyntheticDataModule(ISPRSDataModule):
    """Rendered aerial scenes, the data of the demo; no download needed.

    ``prepare_data`` renders missing scenes to TIFF tiles with Potsdam's names and label colours,
    which `ISPRSDataModule` reads. Each split has its own seeds, and a scene stays the same when the
    counts change. Each seed and size has its own folder below ``root``, so that runs can share
    ``root``.

    Args:
        root: The folder that holds the scenes' folders.
        num_train: Scenes to train on.
        num_val: Scenes to validate on.
        num_test: Scenes for test and predict.
        size: Height and width of a scene in pixels of 9 cm, at least 32.
        seed: Base seed of all scenes, 0 or above.

    Raises:
        InputError: A count, the size or the seed is out of its range.
    """

    def __init__(
        self,
        root: str | Path = "data/synthetic",
        num_train: int = 16,
        num_val: int = 4,
        num_test: int = 4,
        size: int = 512,
        seed: int = 0,
        crop_size: int = 256,
        samples_per_epoch: int = 128,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        counts: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        _check(counts, size, seed)
        super().__init__(
            root=Path(root) / f"seed{seed}-size{size}-v{SCENES_VERSION}",
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            train_tiles=_tile_names("train", num_train),
            val_tiles=_tile_names("val", num_val),
            test_tiles=_tile_names("test", num_test),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
        )
        self.size = size
        self.seed = seed

    def prepare_data(self) -> None:
        """Render and write the missing scenes."""
        missing = [
            (pair, scene_seed(self.seed, split, index))
            for split in _ROWS
            for index, pair in enumerate(self._pair(tile, split) for tile in self.tiles[split])
            if not _is_written(pair)
        ]
        for pair, seed in track(missing, "Drawing scenes", disable=not missing):
            self._write(pair, seed)

    def pairs(self, split: Split) -> list[Pair]:
        """Return the scenes of one split."""
        tiles = self.tiles["test" if split == "predict" else split]
        if not all(_is_written(self._pair(tile, "train")) for tile in tiles):
            raise InputError(
                f"{self.root.absolute()} does not hold all scenes of seed {self.seed} and size "
                f"{self.size}. Call prepare_data() first (a Trainer does so by itself)."
            )
        return super().pairs(split)

    def _write(self, pair: Pair, seed: int) -> None:
        image, labels = render_scene(seed, self.size)
        colours = np.array(list(ISPRS_CLASSES.values()), np.uint8)
        for path, pixels in zip(_files(pair), (image, colours[labels]), strict=True):
            if not path.exists():
                _write_tiff(path, pixels)


def scene_seed(seed: int, split: Split, index: int) -> int:
    """Return the seed of one scene, unique to split, index and base seed."""
    return (seed * len(_ROWS) + list(_ROWS).index(split)) * _MOST_SCENES + index


def _tile_names(split: Split, count: int) -> list[str]:
    return [f"{_ROWS[split]}_{_FIRST_COLUMN + index}" for index in range(count)]


def _check(counts: dict[Split, int], size: int, seed: int) -> None:
    for split, count in counts.items():
        if not 1 <= count <= _MOST_SCENES:
            raise InputError(f"num_{split} is {count}. Set it to 1 to {_MOST_SCENES}.")
    if size < SMALLEST_SCENE:
        raise InputError(f"size is {size}. Set it to {SMALLEST_SCENE} pixels or more.")
    if seed < 0:
        raise InputError(f"seed is {seed}. Set it to 0 or more.")


def _files(pair: Pair) -> tuple[Path, Path]:
    assert pair.label is not None
    return pair.image, pair.label


def _is_written(pair: Pair) -> bool:
    return all(path.is_file() for path in _files(pair))


def _write_tiff(path: Path, pixels: np.ndarray) -> None:
    block = (_TIFF_BLOCK, _TIFF_BLOCK)
    content = BytesIO()
    tifffile.imwrite(content, pixels, photometric="rgb", compression="zlib", tile=block)
    write_atomically(path, content.getvalue())
