"""INRIA Aerial Image Labeling: buildings of cities on two continents."""

import re
from pathlib import Path

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import Color, ColorLabels
from lightning_seg.data.reading.pairs import Pair, PairingError, find_images, match_pairs
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError

INRIA_CLASSES: dict[str, Color] = {"background": (0, 0, 0), "building": (255, 255, 255)}

_LAST_HELD_OUT = 5
# Re-saved copies hold about 240 instead of 255.
_TOLERANCE = 20

_LAYOUT = (
    "The INRIA tiles are expected as train/images/austin1.tif and train/gt/austin1.tif (and "
    "test/images to predict) in the folder that root names, AerialImageDataset; get them from "
    "project.inria.fr/aerialimagelabeling."
)


class INRIADataModule(SegmentationDataModule):
    """INRIA Aerial: 180 labelled tiles of 5000 x 5000 pixels of 30 cm, building or not.

    As the authors recommend, tiles 1 to 5 of every city are for validation and the rest for
    training. Labels of the test cities are withheld, so test uses the validation tiles. Predict
    uses ``test/images``, or the validation tiles if there is no such folder.

    Source: Maggiori et al., "Can semantic labeling methods generalize to any city?", IGARSS 2017.

    Args:
        root: The folder that holds ``train`` and ``test``.
    """

    def __init__(
        self,
        root: str | Path = "data/AerialImageDataset",
        class_balanced: bool = False,
        crop_size: int = 384,
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
            class_names=tuple(INRIA_CLASSES),
            class_colors=tuple(INRIA_CLASSES.values()),
            decoder=ColorLabels(
                tuple(INRIA_CLASSES.values()),
                hint="Masks hold 0 and 255: download the file again.",
                tolerance=_TOLERANCE,
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

    def pairs(self, split: Split) -> list[Pair]:
        """Return the tiles of one split, sorted by name."""
        unlabelled = self.root / "test" / "images"
        if split == "predict" and unlabelled.is_dir():
            return [Pair(name, path) for name, path in find_images(unlabelled).items()]
        images, masks = self.root / "train" / "images", self.root / "train" / "gt"
        files = find_images(images, _LAYOUT)
        if split == "predict":
            return [Pair(n, path) for n, path in files.items() if _held_out(path)]
        try:
            pairs = match_pairs(files, find_images(masks, _LAYOUT), images, masks)
        except PairingError as error:
            raise PairingError(error.problems, _of(split, error.pairs)) from error
        return _of(split, pairs)


def _of(split: Split, pairs: "list[Pair] | tuple[Pair, ...]") -> list[Pair]:
    return [pair for pair in pairs if _held_out(pair.image) == (split != "train")]


def _held_out(path: Path) -> bool:
    number = re.search(r"\d+$", path.stem)
    if number is None:
        raise InputError(
            f"{path} has no number at the end of its name, as austin1.tif has. Remove the file, "
            "or restore its name."
        )
    return int(number[0]) <= _LAST_HELD_OUT
