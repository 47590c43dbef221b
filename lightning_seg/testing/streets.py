"""Tiny street scenes: CamVid and Cityscapes."""

from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.camvid import CAMVID_CLASSES
from lightning_seg.data.datasets.cityscapes import CITYSCAPES_CLASSES
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.testing.files import Masks, Size, draw_scene, number, paint, write_png

_CAMVID = {
    "train": ("0001TP_006690", "0006R0_f00930"),
    "val": ("0016E5_07959",),
    "test": ("0001TP_008550", "Seq05VD_f00000"),
}
_VOID = 11
_CITIES = {"train": ("aachen", "zurich"), "val": ("frankfurt",), "test": ("berlin",)}
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_OWN_CAR, _LICENCE_PLATE = 1, 255


def write_camvid(root: str | Path, size: Size = (48, 64), seed: int = 0) -> Masks:
    """Write CamVid in SegNet's form: frames and labels 0 to 11."""
    masks: Masks = {}
    for split, name, image, mask in _frames(size, seed):
        write_png(Path(root) / split / f"{name}.png", image)
        labels = number(mask, range(len(CAMVID_CLASSES)), _VOID)
        write_png(Path(root) / f"{split}annot" / f"{name}.png", labels)
        masks.setdefault(split, {})[name] = mask
    return masks


def write_camvid_original(root: str | Path, size: Size = (48, 64), seed: int = 0) -> Masks:
    """Write CamVid's original release: colour labels, lane markings (road) in the bottom row."""
    masks: Masks = {}
    for split, name, image, mask in _frames(size, seed):
        colors = paint(mask, tuple(CAMVID_CLASSES.values()), (0, 0, 0))
        colors[-1] = (128, 0, 192)
        mask[-1] = list(CAMVID_CLASSES).index("road")
        write_png(Path(root) / "701_StillsRaw_full" / f"{name}.png", image)
        write_png(Path(root) / "LabeledApproved_full" / f"{name}_L.png", colors)
        masks.setdefault(split, {})[name] = mask
    return masks


def write_cityscapes(root: str | Path, size: Size = (32, 64), seed: int = 0) -> Masks:
    """Write Cityscapes: images and label ids, fine ones and, for ``train_extra``, coarse ones.

    Labels of the test images hold no class, so their masks are 255 everywhere.
    """
    masks: Masks = {}
    cities = [(split, city, "gtFine") for split, names in _CITIES.items() for city in names]
    for place, (split, city, kind) in enumerate([*cities, ("train_extra", "augsburg", "gtCoarse")]):
        image, mask = draw_scene(seed * 1000 + place, size, len(CITYSCAPES_CLASSES))
        name = f"{city}_000000_{place:06}"
        labels = number(mask, _IDS, _OWN_CAR)
        labels[0] = _LICENCE_PLATE
        if split == "test":
            labels[:], mask[:] = _OWN_CAR, IGNORE_INDEX
        folder = Path(root)
        write_png(folder / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", image)
        write_png(folder / f"{kind}/{split}/{city}/{name}_{kind}_labelIds.png", labels)
        masks.setdefault(split, {})[f"{city}/{name}"] = mask
    return masks


def _frames(size: Size, seed: int) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    named = [(split, name) for split, names in _CAMVID.items() for name in names]
    return [
        (split, name, *draw_scene(seed * 1000 + place, size, len(CAMVID_CLASSES)))
        for place, (split, name) in enumerate(named)
    ]
