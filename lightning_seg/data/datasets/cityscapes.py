"""Cityscapes: streets of 50 cities in 19 classes."""

from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import Color, IdLabels
from lightning_seg.data.reading.pairs import Pair, PairingError, find_images, match_pairs
from lightning_seg.data.transforms import Transform

CITYSCAPES_CLASSES: dict[str, Color] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_LAST_ID = 33
_LICENCE_PLATE = 255  # -1 in an 8-bit file
_IGNORED = (*(i for i in range(_LAST_ID + 1) if i not in _IDS), _LICENCE_PLATE)

_LAYOUT = (
    "Cityscapes is expected as leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png and "
    "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png in the folder that root names; "
    "get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from www.cityscapes-dataset.com."
)


class CityscapesDataModule(SegmentationDataModule):
    """Cityscapes, 2048 x 1024, read from its label id files: 2975 train, 500 val, 1525 test.

    The official label ids map to the 19 evaluated classes; all other ids are ignored. Test labels
    are withheld, so test uses the validation images by default.

    Source: Cordts et al., "The Cityscapes dataset", CVPR 2016.

    Args:
        root: The folder that holds ``leftImg8bit`` and ``gtFine``.
        coarse: Adds the coarsely labelled images of ``leftImg8bit/train_extra`` and
            ``gtCoarse/train_extra`` to the training images.
        train_on_val: Also trains on the validation images, for models that a test server evaluates.
            Validation scores then mean nothing.
        test_split: The images for test; the labels of ``test`` hold no class.
        predict_split: The images to predict. Predictions are named without the city's folder, such
            as ``berlin_000000_000019.png``, as the test server requires. With ``label_values:
            dataset`` the `PredictionWriter` writes label ids.
    """

    def __init__(
        self,
        root: str | Path = "data/cityscapes",
        coarse: bool = False,
        train_on_val: bool = False,
        test_split: Literal["val", "test"] = "val",
        predict_split: Literal["val", "test"] = "val",
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=tuple(CITYSCAPES_CLASSES),
            class_colors=tuple(CITYSCAPES_CLASSES.values()),
            decoder=IdLabels(
                _IDS, _IGNORED, "Files of label ids are expected: download the file again."
            ),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
        )
        self.coarse = coarse
        self.train_on_val = train_on_val
        self.test_split = test_split
        self.predict_split = predict_split

    @property
    def sharing(self) -> frozenset[tuple[Split, Split]]:
        """With ``train_on_val`` validation, and test by default, measure what is trained on."""
        shared: set[tuple[Split, Split]] = {("train", "val")}
        if self.test_split == "val":
            shared.add(("train", "test"))
        return frozenset(shared if self.train_on_val else ())

    def pairs(self, split: Split) -> list[Pair]:
        """The images of one split, by city and name."""
        if split == "predict":
            images = self._images(self.predict_split)
            return [Pair(name.rpartition("/")[2], path) for name, path in images.items()]
        folder = self.test_split if split == "test" else split
        parts: list[tuple[str, str]] = [(folder, "gtFine")]
        if split == "train" and self.train_on_val:
            parts.append(("val", "gtFine"))
        if split == "train" and self.coarse:
            parts.append(("train_extra", "gtCoarse"))
        pairs: list[Pair] = []
        problems: list[PairingError] = []
        for name, kind in parts:
            try:
                pairs += self._labelled(name, kind)
            except PairingError as error:
                problems.append(error)
                pairs += error.pairs
        if problems:
            every = [problem for error in problems for problem in error.problems]
            raise PairingError(every, pairs)
        return pairs

    def _images(self, folder: str) -> dict[str, Path]:
        return _without(find_images(self.root / "leftImg8bit" / folder, _LAYOUT), "_leftImg8bit")

    def _labelled(self, folder: str, kind: str) -> list[Pair]:
        files = find_images(self.root / kind / folder, _LAYOUT)
        labels = _without(files, f"_{kind}_labelIds")
        return match_pairs(
            labels if self.reader.masks_alone else self._images(folder),
            labels,
            self.root / "leftImg8bit" / folder,
            self.root / kind / folder,
        )


def _without(files: dict[str, Path], ending: str) -> dict[str, Path]:
    """Return the files with this ending, by name without the ending."""
    return {
        name.removesuffix(ending): path for name, path in files.items() if name.endswith(ending)
    }
