"""CelebAMask-HQ: faces with up to 18 parts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import distinct_colors
from lightning_seg.data.reading.multi_file_labels import PartMasks
from lightning_seg.data.reading.pairs import Pair, find_images, refuse_missing, require_folder
from lightning_seg.data.reading.text_lists import read_lines
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError

Classes = Literal["binary", "parts"]
SplitRule = Literal["celeba", "thesis"]
Fold = Literal[1, 2, 3, 4, 5]
_FOLDS = len(get_args(Fold))

# In the authors' order: later parts are painted over earlier ones.
CELEBAMASK_HQ_PARTS = {
    "skin": "skin",
    "nose": "nose",
    "eye_g": "eyeglasses",
    "l_eye": "left eye",
    "r_eye": "right eye",
    "l_brow": "left brow",
    "r_brow": "right brow",
    "l_ear": "left ear",
    "r_ear": "right ear",
    "mouth": "mouth",
    "u_lip": "upper lip",
    "l_lip": "lower lip",
    "hair": "hair",
    "hat": "hat",
    "ear_r": "earring",
    "neck_l": "necklace",
    "neck": "neck",
    "cloth": "cloth",
}

_IMAGES_A_FOLDER = 2000
# First CelebA numbers of validation and test.
_FIRST_VAL, _FIRST_TEST = 162_771, 182_638
# Ends of train and val among 30,000 images in numerical order; the thesis publishes no lists.
_THESIS_SHARES = (23_200 / 30_000, 29_000 / 30_000)

_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_LAYOUT = (
    "CelebAMask-HQ is expected as CelebA-HQ-img/0.jpg, "
    f"CelebAMask-HQ-mask-anno/0/00000_skin.png and {_MAPPING} in the folder that root names; get "
    "CelebAMask-HQ.zip from github.com/switchablenorms/CelebAMask-HQ."
)


class CelebAMaskHQDataModule(SegmentationDataModule):
    """CelebAMask-HQ: 30,000 faces of 1024 x 1024 pixels with masks of 512 x 512.

    Images are downscaled to the size of their masks.

    Source: Lee et al., "MaskGAN", CVPR 2020; Gül, thesis, 2023, for ``binary`` and its split.

    Args:
        root: The folder that holds ``CelebA-HQ-img`` and so on.
        classes: ``parts``: background and 18 parts; ``binary``: background and face (any part).
        split_rule: ``celeba``: by the image's number in CelebA, the official split; ``thesis``: the
            first 23,200 images for training, the next 5,800 for validation and the last 1,000 for
            test (the same fractions of fewer images).
        fold: Test fold, 1 to 5, of a fixed random partition into five. Half of the next fold is for
            validation and the rest for training: 70, 10 and 20 per cent of the images. Replaces
            ``split_rule``.
    """

    def __init__(
        self,
        root: str | Path = "data/CelebAMask-HQ",
        classes: Classes = "parts",
        split_rule: SplitRule = "celeba",
        fold: Fold | None = None,
        batch_size: int = 8,
        eval_batch_size: int = 4,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        if fold is not None and fold not in get_args(Fold):
            raise InputError(f"fold is {fold!r}. Set it to a number from 1 to {_FOLDS}.")
        names = ("background", *CELEBAMASK_HQ_PARTS.values())
        if classes == "binary":
            names = ("background", "face")
        parts = tuple(
            (part, 1 if classes == "binary" else number)
            for number, part in enumerate(CELEBAMASK_HQ_PARTS, start=1)
        )
        super().__init__(
            root=root,
            class_names=names,
            class_colors=distinct_colors(len(names)),
            decoder=PartMasks(parts),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
            image_downscale=2,
        )
        self.split_rule = split_rule
        self.fold = fold

    def about_splits(self) -> str:
        """Name the rule that splits the images."""
        if self.fold is not None:
            return f"Fold {self.fold} of {_FOLDS}."
        return f"Splits by the rule {self.split_rule}."

    def pairs(self, split: Split) -> list[Pair]:
        """Return the faces of one split, sorted by number."""
        images = self._images()
        numbers = self._numbers("test" if split == "predict" else split, sorted(images))
        masks = self.root / "CelebAMask-HQ-mask-anno"
        if split != "predict":
            require_folder(masks, _LAYOUT)
        pairs = [
            Pair(
                str(number),
                images[number],
                None
                if split == "predict"
                else masks / str(number // _IMAGES_A_FOLDER) / f"{number:05}",
            )
            for number in numbers
        ]
        refuse_missing(pairs, self.decoder, f"the {split} images", _LAYOUT)
        return pairs

    def _images(self) -> dict[int, Path]:
        images = find_images(self.root / "CelebA-HQ-img", _LAYOUT)
        if wrong := [path for name, path in images.items() if not name.isdecimal()]:
            raise InputError(f"{wrong[0]} is not named by its number. {_LAYOUT}")
        return {int(name): path for name, path in images.items()}

    def _numbers(self, split: Split, numbers: list[int]) -> list[int]:
        if self.fold is not None:
            return _of_fold(self.fold, split, numbers)
        if self.split_rule == "thesis":
            first_val, first_test = (round(share * len(numbers)) for share in _THESIS_SHARES)
            places = {"train": (0, first_val), "val": (first_val, first_test)}
            first, last = places.get(split, (first_test, len(numbers)))
            return numbers[first:last]
        original = self._original_numbers()
        if unknown := [number for number in numbers if number not in original]:
            raise InputError(
                f"{self.root / _MAPPING} does not name image {unknown[0]} ({len(unknown)} images "
                "in all). Download the file again, or set split_rule: thesis."
            )
        return [number for number in numbers if _celeba_split(original[number]) == split]

    def _original_numbers(self) -> dict[int, int]:
        """Return the CelebA number of each image number."""
        path = self.root / _MAPPING
        original: dict[int, int] = {}
        for number, line in enumerate(read_lines(path, _LAYOUT)[1:], start=2):
            parts = line.split()
            if not parts:
                continue
            if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
                raise InputError(
                    f"{path}, line {number}, is {line[:60]!r}, but two numbers are expected. Fetch "
                    "the file again."
                )
            if int(parts[0]) in original:
                raise InputError(f"{path}, line {number}, names image {parts[0]} a second time.")
            original[int(parts[0])] = int(parts[1])
        return original


def _of_fold(fold: int, split: Split, numbers: Sequence[int]) -> list[int]:
    shuffled = sorted(numbers, key=lambda number: hashlib.sha256(f"{number}".encode()).digest())
    ends = [round(len(shuffled) * half / (2 * _FOLDS)) for half in range(2 * _FOLDS + 1)]
    tested, validated = 2 * (fold - 1), 2 * (fold % _FOLDS)
    chosen = {
        "test": set(shuffled[ends[tested] : ends[tested + 2]]),
        "val": set(shuffled[ends[validated] : ends[validated + 1]]),
    }
    chosen["train"] = set(shuffled) - chosen["test"] - chosen["val"]
    return sorted(chosen[split])


def _celeba_split(original: int) -> Split:
    if original < _FIRST_VAL:
        return "train"
    return "val" if original < _FIRST_TEST else "test"
