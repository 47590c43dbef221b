"""IEEE GRSS Data Fusion Contest 2015: Zeebrugge from the air."""

import re
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import Color, ColorLabels
from lightning_seg.data.reading.pairs import Pair, find_images, refuse_missing
from lightning_seg.data.sampling.splits import refuse_shared
from lightning_seg.data.transforms import Transform

DFC2015_CLASSES: dict[str, Color] = {
    "impervious": (255, 255, 255),
    "water": (0, 0, 128),
    "clutter": (255, 0, 0),
    "low vegetation": (0, 255, 255),
    "building": (0, 0, 255),
    "tree": (0, 255, 0),
    "boat": (255, 0, 255),
    "car": (255, 255, 0),
}

_TILE = re.compile(r"(BE_ORTHO_27032011|label)_(\d{6}_\d{5})(?:_UTM31N)?")
_TILES: dict[Split, tuple[str, ...]] = {
    "train": ("315130_56865", "315130_56870", "315135_56870"),
    "val": ("315140_56865",),
    "test": ("315135_56865", "315145_56865"),
}

_LAYOUT = (
    "The tiles are expected as BE_ORTHO_27032011_315130_56865.tif and label_315130_56865.tif (or "
    "with _UTM31N before .tif), anywhere below the folder that root names; get them from "
    "ieee-dataport.org (2015 IEEE GRSS Data Fusion Contest)."
)


class DFC2015DataModule(SegmentationDataModule):
    """Data Fusion Contest 2015: tiles of 10,000 x 10,000 pixels of 5 cm with eight classes.

    The benchmark has four training tiles, one of which is held out here for validation, and two
    test tiles. Audebert et al. (2019) mention seven images; add a seventh to ``train_tiles``.

    Source: Campos-Taberner et al., "Processing of extremely high-resolution LiDAR and RGB data",
    JSTARS 2016; labels by Lagrange et al., IGARSS 2015.

    Args:
        root: The folder that holds the tiles.
        train_tiles: Tiles to train on, such as "315130_56865".
        val_tiles: Tiles to validate on.
        test_tiles: Tiles for test and predict.
    """

    def __init__(
        self,
        root: str | Path = "data/dfc2015",
        train_tiles: Sequence[str] = _TILES["train"],
        val_tiles: Sequence[str] = _TILES["val"],
        test_tiles: Sequence[str] = _TILES["test"],
        class_balanced: bool = False,
        crop_size: int = 256,
        samples_per_epoch: int = 10_000,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=tuple(DFC2015_CLASSES),
            class_colors=tuple(DFC2015_CLASSES.values()),
            decoder=ColorLabels(
                tuple(DFC2015_CLASSES.values()), hint="Download the official label file again."
            ),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            class_balanced=class_balanced,
        )
        self.tiles: dict[Split, tuple[str, ...]] = {
            "train": tuple(train_tiles),
            "val": tuple(val_tiles),
            "test": tuple(test_tiles),
        }
        refuse_shared("Tile", {f"{split}_tiles": tiles for split, tiles in self.tiles.items()})

    def pairs(self, split: Split) -> list[Pair]:
        """Return the tiles of one split, in the order of its list."""
        predicting = split == "predict"
        files: dict[tuple[str, str], Path] = {}
        for path in find_images(self.root, _LAYOUT).values():
            if name := _TILE.fullmatch(path.stem):
                files[name[1], name[2]] = path
        pairs = []
        for tile in self.tiles["test" if predicting else split]:
            image = files.get(
                ("BE_ORTHO_27032011", tile), self.root / f"BE_ORTHO_27032011_{tile}.tif"
            )
            label = files.get(("label", tile), self.root / f"label_{tile}.tif")
            pairs.append(Pair(image.stem, image, None if predicting else label))
        setting = "test_tiles" if predicting else f"{split}_tiles"
        refuse_missing(
            pairs,
            self.decoder,
            f"the {split} tiles",
            f"{_LAYOUT} Or list the tiles you have in {setting} (in quotes).",
        )
        return pairs
