"""HELEN: parts of faces, with soft labels."""

from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import distinct_colors
from lightning_seg.data.reading.multi_file_labels import SoftMasks
from lightning_seg.data.reading.pairs import Pair, refuse_missing
from lightning_seg.data.reading.text_lists import plain_name
from lightning_seg.data.sampling.splits import listed_names, refuse_shared
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError

HELEN_CLASSES = (
    "background", "skin", "left brow", "right brow", "left eye", "right eye", "nose", "upper lip",
    "inner mouth", "lower lip", "hair",
)  # fmt: skip

_LISTS: dict[Split, str] = {
    "train": "exemplars.txt",
    "val": "tuning.txt",
    "test": "testing.txt",
}

_LAYOUT = (
    "HELEN is expected as images/NAME.jpg, labels/NAME/NAME_lbl00.png to NAME_lbl10.png, "
    "exemplars.txt, tuning.txt and testing.txt in the folder that root names; get "
    "SmithCVPR2013_dataset_resized from www.cs.wisc.edu/~lizhang/projects/face-parsing."
)


class HELENDataModule(SegmentationDataModule):
    """HELEN with the parts of Smith et al.: 2000 train, 230 val and 100 test faces of varying size.

    Each class has a confidence mask; a pixel belongs to the most confident class.

    Source: Smith et al., "Exemplar-based face parsing", CVPR 2013.

    Args:
        root: The folder that holds ``images``, ``labels`` and the lists.
        train_on_val: Also trains on the validation images, for models that a test server evaluates.
            Validation scores then mean nothing.
        test_split: The faces for test and predict: the 100 of ``testing.txt``, or together with
            ``tuning.txt`` all 330 faces outside the training set, as in Chen et al. (2020).
    """

    def __init__(
        self,
        root: str | Path = "data/helen",
        train_on_val: bool = False,
        test_split: Literal["test", "val_and_test"] = "test",
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=HELEN_CLASSES,
            class_colors=distinct_colors(len(HELEN_CLASSES)),
            decoder=SoftMasks(len(HELEN_CLASSES)),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
        )

        if train_on_val and test_split == "val_and_test":
            raise InputError(
                "train_on_val and test_split: val_and_test were both given, but then test would "
                "evaluate training images. Remove one of them."
            )
        self.train_on_val = train_on_val
        self.test_split = test_split

    @property
    def sharing(self) -> frozenset[tuple[Split, Split]]:
        """Train and val with ``train_on_val``; val and test with ``val_and_test``."""
        shared: set[tuple[Split, Split]] = set()
        if self.train_on_val:
            shared.add(("train", "val"))
        if self.test_split == "val_and_test":
            shared.add(("val", "test"))
        return frozenset(shared)

    def pairs(self, split: Split) -> list[Pair]:
        """Return the faces of one split, in the order of its lists."""
        own = [_LISTS[part] for part in self._parts(split)]
        names = {file: self._names(file) for file in own}
        for other in set(_LISTS.values()) - set(own):
            if (self.root / other).is_file():
                names[other] = self._names(other)
        refuse_shared("Image", names)
        pairs = [
            Pair(
                name,
                self.root / "images" / f"{name}.jpg",
                None if split == "predict" else self.root / "labels" / name,
            )
            for file in own
            for name in names[file]
        ]
        alone = self.reader.masks_alone
        refuse_missing(pairs, self.decoder, f"the {split} images", _LAYOUT, alone)
        return pairs

    def _parts(self, split: Split) -> tuple[Split, ...]:
        if split == "train":
            return ("train", "val") if self.train_on_val else ("train",)
        if split in ("test", "predict") and self.test_split == "val_and_test":
            return "val", "test"
        return ("test",) if split == "predict" else (split,)

    def _names(self, file: str) -> list[str]:
        """Return the names in lines such as ``1 , 100032540_1``."""
        names = []
        for line in listed_names(self.root / file, _LAYOUT):
            _, comma, name = line.partition(",")
            if not comma or not name.strip():
                raise InputError(
                    f"{self.root / file}: a line is {line[:60]!r}, but a number, a comma and a "
                    "name are expected, such as '1 , 100032540_1'. Download the list again."
                )
            names.append(plain_name(name, str(self.root / file)))
        return names
