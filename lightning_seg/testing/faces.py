"""Tiny faces: CelebAMask-HQ and HELEN."""

from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.celebamask_hq import CELEBAMASK_HQ_PARTS
from lightning_seg.data.datasets.helen import HELEN_CLASSES
from lightning_seg.testing.files import Masks, Size, draw_scene, write_jpeg, write_lines, write_png

# CelebAMask-HQ numbers and their CelebA numbers: two for train, one each for val and test.
_CELEBA = {"train": {0: 119_613, 2001: 5}, "val": {2: 170_000}, "test": {3: 190_000}}
_HELEN = {
    "train": ("exemplars.txt", ["100032540_1", "100040721_1"]),
    "val": ("tuning.txt", ["10405146_1"]),
    "test": ("testing.txt", ["107635070_1"]),
}


def write_celebamask_hq(
    root: str | Path, size: Size = (32, 32), seed: int = 0, more: int = 0
) -> Masks:
    """Write CelebAMask-HQ: JPEGs of twice ``size``, and a mask for each present part.

    Skin lies under all other parts, as in the real masks; the module paints later parts over
    earlier ones. The returned masks have 19 classes. ``more`` adds training images: five folds need
    at least ten images.
    """
    root = Path(root)
    masks: Masks = {}
    lines = ["idx       orig_idx       orig_file"]
    additional = {10 + index: 100 + index for index in range(more)}
    everything = _CELEBA | {"train": _CELEBA["train"] | additional}
    for split, numbers in everything.items():
        masks[split] = {}
        for index, original in numbers.items():
            image, mask = draw_scene(
                seed * 10_000 + index, size, 1 + len(CELEBAMASK_HQ_PARTS), void=False
            )
            large = image.repeat(2, axis=0).repeat(2, axis=1)
            write_jpeg(root / f"CelebA-HQ-img/{index}.jpg", large)
            for number, part in enumerate(CELEBAMASK_HQ_PARTS, start=1):
                shown = mask > 0 if part == "skin" else mask == number
                if shown.any():
                    folder = root / "CelebAMask-HQ-mask-anno" / str(index // 2000)
                    pixels = np.repeat(shown[..., None] * np.uint8(255), 3, axis=2)
                    write_png(folder / f"{index:05}_{part}.png", pixels)
            lines.append(f"{index:<10}{original:<15}{original + 1:06}.jpg")
            masks[split][str(index)] = mask
    write_lines(root / "CelebA-HQ-to-CelebA-mapping.txt", lines)
    return masks


def write_helen(root: str | Path, size: Size = (32, 32), seed: int = 0) -> Masks:
    """Write HELEN: JPEGs and a confidence mask per class; confidences sum to about 255."""
    root = Path(root)
    masks: Masks = {}
    for place, (split, (file, names)) in enumerate(_HELEN.items()):
        masks[split] = {}
        for index, name in enumerate(names):
            image, mask = draw_scene(
                seed * 1000 + place * 100 + index, size, len(HELEN_CLASSES), void=False
            )
            write_jpeg(root / f"images/{name}.jpg", image)
            for number in range(len(HELEN_CLASSES)):
                soft = np.where(mask == number, 150, 105 // (len(HELEN_CLASSES) - 1))
                write_png(root / f"labels/{name}/{name}_lbl{number:02}.png", soft.astype(np.uint8))
            masks[split][name] = mask
        write_lines(root / file, [f"{index + 1} , {name}" for index, name in enumerate(names)])
    return masks
