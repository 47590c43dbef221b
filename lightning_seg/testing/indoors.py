"""Tiny indoor scenes with depth: SUN RGB-D."""

from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.sunrgbd import SUNRGBD_CLASSES
from lightning_seg.testing.files import (
    Masks,
    Size,
    draw_scene,
    number,
    write_jpeg,
    write_lines,
    write_png,
)

_TEST_LABELS = 5050
_TRAIN, _TEST = 20, 2
_VOID = 0


def write_sunrgbd(root: str | Path, size: Size = (24, 32), seed: int = 0) -> Masks:
    """Write SUN RGB-D: JPEGs, 16-bit depth rotated by three bits, labels of 37 classes and lists.

    The module holds out the last of the 20 training images for validation. Depth is 1 m at the left
    border and grows by 20 mm per column; raw depth has a hole in the first row.
    """
    root = Path(root)
    masks: Masks = {"train": {}, "val": {}, "test": {}}
    lists: dict[str, list[str]] = {"training": [], "testing": []}
    places = [("training", i, _TEST_LABELS + i + 1) for i in range(_TRAIN)]
    places += [("testing", i, i + 1) for i in range(_TEST)]
    for kind, index, numbered in places:
        image, mask = draw_scene(seed * 1000 + numbered, size, len(SUNRGBD_CLASSES))
        folder = f"SUNRGBD/kv1/NYUdata/NYU{numbered:04}"
        lists[kind].append(f"{folder}/image/NYU{numbered:04}.jpg")
        write_jpeg(root / lists[kind][-1], image)
        millimetres = np.tile(1000 + 20 * np.arange(size[1]), (size[0], 1)).astype(np.uint16)
        write_png(root / folder / f"depth_bfx/NYU{numbered:04}_abs.png", _rotated(millimetres))
        millimetres[0] = 0
        write_png(root / folder / f"depth/NYU{numbered:04}.png", _rotated(millimetres))
        labels = number(mask, range(1, len(SUNRGBD_CLASSES) + 1), _VOID)
        write_png(root / f"sunrgbd_train_test_labels/img-{numbered:06}.png", labels)
        split = "test" if kind == "testing" else "val" if index == _TRAIN - 1 else "train"
        masks[split][f"img-{numbered:06}"] = mask
    for kind, lines in lists.items():
        write_lines(root / f"sunrgbd_{kind}_images.txt", lines)
    return masks


def _rotated(millimetres: np.ndarray) -> np.ndarray:
    return (millimetres << 3 | millimetres >> 13).astype(np.uint16)
