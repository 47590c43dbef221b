"""SUN RGB-D: indoor scenes with 37 classes and depth."""

from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import IdLabels, distinct_colors
from lightning_seg.data.reading.pair_reader import ExtraChannel
from lightning_seg.data.reading.pairs import Pair, refuse_missing
from lightning_seg.data.sampling.splits import listed_names, refuse_shared
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError

Depth = Literal["inpainted", "raw"]

SUNRGBD_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "fridge", "tv", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag",
)  # fmt: skip

_VOID = 0
_DEPTH_FOLDERS: dict[Depth, str] = {"inpainted": "depth_bfx", "raw": "depth"}
_ROTATED_BITS = 3
_MILLIMETRES = 1000.0
_HELD_OUT_EVERY = 20
# Labels 1 to 5050 belong to the test images.
_LISTS = {"train": "sunrgbd_training_images.txt", "test": "sunrgbd_testing_images.txt"}
_TEST_LABELS = 5050
_LABELS = "sunrgbd_train_test_labels"

_LAYOUT = (
    "SUN RGB-D is expected as SUNRGBD/ (of SUNRGBD.zip from rgbd.cs.princeton.edu) and, from "
    f"github.com/ankurhanda/sunrgbd-meta-data, {_LISTS['train']}, {_LISTS['test']} and "
    f"{_LABELS}/img-000001.png, in the folder that root names."
)


class SUNRGBDDataModule(SegmentationDataModule):
    """SUN RGB-D: 5285 training and 5050 test images from four cameras, of varying size.

    Labels are 1 to 37, and 0 for void, which is ignored. The official release has no validation
    images: every twentieth training image is held out.

    Source: Song et al., "SUN RGB-D: a RGB-D scene understanding benchmark suite", CVPR 2015.

    Args:
        root: The folder that holds ``SUNRGBD``, the lists and the labels.
        depth: Adds depth as a fourth channel, as FuseNet expects: ``inpainted`` has holes filled
            (``depth_bfx``), ``raw`` has 0 there; null for none. Files hold millimetres, rotated by
            3 bits.
        max_depth: Depth in metres that maps to 1; larger depths are clipped.
    """

    def __init__(
        self,
        root: str | Path = "data/sunrgbd",
        depth: Depth | None = "inpainted",
        max_depth: float = 10.0,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        if not max_depth > 0:
            raise InputError(f"max_depth is {max_depth}. Set it to metres above 0.")
        depth_range = (0.0, max_depth * _MILLIMETRES)
        super().__init__(
            root=root,
            class_names=SUNRGBD_CLASSES,
            class_colors=distinct_colors(len(SUNRGBD_CLASSES) + 1)[1:],
            decoder=IdLabels(
                tuple(range(1, len(SUNRGBD_CLASSES) + 1)),
                (_VOID,),
                "Labels of 37 classes are expected: download the file again.",
            ),
            in_channels=3 if depth is None else 4,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
            extra_channel=None if depth is None else ExtraChannel(depth_range, _ROTATED_BITS),
        )
        self.depth = depth
        self.channel_names = ("red", "green", "blue", *(["depth"] if depth is not None else []))

    def pairs(self, split: Split) -> list[Pair]:
        """Return the images of one split, in the order of its list."""
        testing = split in ("test", "predict")
        lists = {name: listed_names(self.root / path, _LAYOUT) for name, path in _LISTS.items()}
        refuse_shared("Image", {_LISTS[name]: paths for name, paths in lists.items()})
        pairs = []
        for index, path in enumerate(lists["test" if testing else "train"]):
            if not testing and (index % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1) != (split == "val"):
                continue
            number = index + 1 + (0 if testing else _TEST_LABELS)
            label = self.root / _LABELS / f"img-{number:06}.png"
            image = self.root / path
            depth = self._depth(image)
            pairs.append(Pair(label.stem, image, None if split == "predict" else label, depth))
        refuse_missing(pairs, self.decoder, f"the {split} images", _LAYOUT)
        return pairs

    def _depth(self, image: Path) -> Path | None:
        """Return the only file in the depth folder; its name may differ from the image's."""
        if self.depth is None:
            return None
        folder = image.parent.parent / _DEPTH_FOLDERS[self.depth]
        return next(iter(sorted(folder.glob("*.png"))), folder / f"{image.stem}.png")
