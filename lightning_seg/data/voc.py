"""PASCAL VOC 2012: photographs of twenty kinds of objects."""

from pathlib import Path

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.labels import IGNORE_INDEX, IdLabels, distinct_colors
from lightning_seg.data.pairs import Pair, find_images, refuse_missing
from lightning_seg.data.splits import listed_names, refuse_shared
from lightning_seg.data.targets_cache import CacheKind
from lightning_seg.data.transforms import Transform

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)

_LAYOUT = (
    "VOC 2012 is expected as JPEGImages/NAME.jpg, SegmentationClass/NAME.png and "
    "ImageSets/Segmentation/train.txt in the folder that root names, VOCdevkit/VOC2012; get "
    "VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012."
)
_AUGMENTED = (
    "With augmented, labels are expected in SegmentationClassAug: the archive of that name holds "
    "the labels of the Semantic Boundaries Dataset (SBD) as PNG; or set augmented: false."
)


class VOCDataModule(SegmentationDataModule):
    """PASCAL VOC 2012 segmentation: 1464 images train, 1449 validate; sizes vary.

    Labels are read as palette indices, 0 to 20, and 255 for void. The labels of the test images are
    withheld, so test and predict use the validation images.

    Source: Everingham et al., "The PASCAL visual object classes challenge", 2015; Hariharan et al.,
    "Semantic contours from inverse detectors", ICCV 2011 (SBD).

    Args:
        root: The folder that holds ``JPEGImages`` and so on.
        augmented: Trains on every image of ``SegmentationClassAug`` that is not among the
            validation images: 10,582 with the labels of SBD.
        batch_size: Training samples a batch, on each process.
        eval_batch_size: Samples a batch in validation and test; 1 unless they are resized.
        num_workers: Processes that read data; 0 reads in the main process.
        train_transforms: albumentations transforms of training samples.
        eval_transforms: albumentations transforms of all other samples, such as Resize.
        targets_cache: Keeps targets in ``memory`` or on ``disk``, see `SegmentationDataModule`.
        predict_root: An image, or a folder of them, to predict instead of the test images.
    """

    def __init__(
        self,
        root: str | Path = "data/VOCdevkit/VOC2012",
        augmented: bool = False,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        targets_cache: CacheKind = "none",
        predict_root: str | Path | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=VOC_CLASSES,
            class_colors=distinct_colors(len(VOC_CLASSES)),
            decoder=IdLabels(
                tuple(range(len(VOC_CLASSES))),
                (IGNORE_INDEX,),
                "Labels are PNGs with the official palette: fetch the file again.",
            ),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            targets_cache=targets_cache,
            predict_root=predict_root,
        )
        self.augmented = augmented

    def pairs(self, split: Split) -> list[Pair]:
        """The images of one split, in the order of its list, or by name with ``augmented``."""
        val = self._listed("val")
        folder = "SegmentationClass"
        if split != "train":
            names = val
        elif self.augmented:
            folder = "SegmentationClassAug"
            labels = find_images(self.root / folder, _AUGMENTED)
            names = [name for name in labels if name not in set(val)]
        else:
            names = self._listed("train")
            refuse_shared("Image", {"train.txt": names, "val.txt": val})
        pairs = [
            Pair(
                name,
                self.root / "JPEGImages" / f"{name}.jpg",
                None if split == "predict" else self.root / folder / f"{name}.png",
            )
            for name in names
        ]
        refuse_missing(pairs, self.decoder, f"the {split} images", _LAYOUT)
        return pairs

    def _listed(self, name: str) -> list[str]:
        return listed_names(self.root / "ImageSets" / "Segmentation" / f"{name}.txt", _LAYOUT)
