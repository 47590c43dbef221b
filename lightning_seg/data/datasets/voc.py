"""PASCAL VOC 2012: photographs of twenty kinds of objects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import IGNORE_INDEX, IdLabels, distinct_colors
from lightning_seg.data.reading.pairs import Pair, find_images, refuse_missing
from lightning_seg.data.sampling.splits import listed_names, refuse_shared
from lightning_seg.data.transforms import Transform

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa",
    "train", "tv monitor",
)  # fmt: skip

_LAYOUT = (
    "VOC 2012 is expected as JPEGImages/NAME.jpg, SegmentationClass/NAME.png and "
    "ImageSets/Segmentation/train.txt in the folder that root names, VOCdevkit/VOC2012; get "
    "VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012."
)
_TEST = (
    "VOC 2012's test images are expected as JPEGImages/NAME.jpg and "
    "ImageSets/Segmentation/test.txt in the folder that root names; get VOC2012test.tar from "
    "host.robots.ox.ac.uk:8080, or set predict_split to val."
)
_AUGMENTED = (
    "With augmented, labels are expected in SegmentationClassAug: the archive of that name holds "
    "the labels of the Semantic Boundaries Dataset (SBD) as PNG; or set augmented: false."
)


class VOCDataModule(SegmentationDataModule):
    """PASCAL VOC 2012 segmentation: 1464 train, 1449 val and 1456 test images of varying size.

    Labels are read as palette indices, 0 to 20, and 255 for void. Test labels are withheld, so
    test, and by default predict, uses the validation images.

    Source: Everingham et al., "The PASCAL visual object classes challenge", 2015; Hariharan et al.,
    "Semantic contours from inverse detectors", ICCV 2011 (SBD).

    Args:
        root: The folder that holds ``JPEGImages`` and so on.
        augmented: Trains on every image of ``SegmentationClassAug`` outside the validation set:
            10,582 with the labels of SBD.
        train_on_val: Also trains on the validation images, for models that a test server evaluates.
            Validation scores then mean nothing.
        predict_split: The images to predict; those of ``test`` are in VOC2012test.tar.
    """

    def __init__(
        self,
        root: str | Path = "data/VOCdevkit/VOC2012",
        augmented: bool = False,
        train_on_val: bool = False,
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
            class_names=VOC_CLASSES,
            class_colors=distinct_colors(len(VOC_CLASSES)),
            decoder=IdLabels(
                tuple(range(len(VOC_CLASSES))),
                (IGNORE_INDEX,),
                "Labels are PNGs with the official palette: download the file again.",
            ),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
        )
        self.augmented = augmented
        self.train_on_val = train_on_val
        self.predict_split = predict_split

    @property
    def sharing(self) -> frozenset[tuple[Split, Split]]:
        """With ``train_on_val``, val and test share images with train."""
        return frozenset({("train", "val"), ("train", "test")} if self.train_on_val else ())

    def pairs(self, split: Split) -> list[Pair]:
        """Return the images of one split in the order of its list; ``augmented`` sorts by name."""
        if split == "predict":
            layout = _LAYOUT if self.predict_split == "val" else _TEST
            pairs = [self._pair(name) for name in self._listed(self.predict_split, layout)]
            refuse_missing(pairs, self.decoder, "the images to predict", layout)
            return pairs
        val = self._listed("val")
        pairs = [self._pair(name, "SegmentationClass") for name in val]
        if split == "train":
            pairs = self._train(val) + (pairs if self.train_on_val else [])
        alone = self.reader.masks_alone
        refuse_missing(pairs, self.decoder, f"the {split} images", _LAYOUT, alone)
        return pairs

    def _train(self, val: Sequence[str]) -> list[Pair]:
        if self.augmented:
            labels = find_images(self.root / "SegmentationClassAug", _AUGMENTED)
            held_out = set(val)
            names = [name for name in labels if name not in held_out]
            return [self._pair(name, "SegmentationClassAug") for name in names]
        names = self._listed("train")
        refuse_shared("Image", {"train.txt": names, "val.txt": val})
        return [self._pair(name, "SegmentationClass") for name in names]

    def _pair(self, name: str, labels: str | None = None) -> Pair:
        label = None if labels is None else self.root / labels / f"{name}.png"
        return Pair(name, self.root / "JPEGImages" / f"{name}.jpg", label)

    def _listed(self, name: str, layout: str = _LAYOUT) -> list[str]:
        return listed_names(self.root / "ImageSets" / "Segmentation" / f"{name}.txt", layout)
