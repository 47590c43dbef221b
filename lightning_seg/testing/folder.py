"""A tiny folder of images and masks."""

from pathlib import Path

import numpy as np

from lightning_seg.testing.files import (
    Masks,
    Size,
    draw_scene,
    number,
    write_jpeg,
    write_png,
    write_tiff,
)

_SPLITS = {"train": ("town/a", "town/b"), "val": ("c",), "test": ("d",)}
_VOID = 255


def write_folder(
    root: str | Path,
    size: Size = (48, 64),
    seed: int = 0,
    num_classes: int = 3,
    channels: int = 3,
    sixteen_bit: bool = False,
) -> Masks:
    """Write images and masks of equal names in sub-folders ``train``, ``val`` and ``test``.

    Args:
        root: The folder to write to.
        size: Height and width.
        seed: Random seed.
        num_classes: Number of classes; masks hold 0 to K - 1, and 255 for void.
        channels: Channels of the images: JPEG and PNG for 3, TIFF for more.
        sixteen_bit: Writes 16-bit images as TIFF.
    """
    masks: Masks = {}
    for place, (split, names) in enumerate(_SPLITS.items()):
        masks[split] = {}
        for index, name in enumerate(names):
            image, mask = draw_scene(seed * 1000 + place * 100 + index, size, num_classes)
            path = Path(root) / split / "images" / name
            if channels != 3 or sixteen_bit:
                bands = np.dstack([image, *[image[..., i % 3] for i in range(3, channels)]])
                pixels = bands[..., :channels].astype(np.uint16) * 257 if sixteen_bit else bands
                write_tiff(path.with_suffix(".tif"), pixels[..., :channels])
            elif index:
                write_jpeg(path.with_suffix(".jpg"), image)
            else:
                write_png(path.with_suffix(".png"), image)
            labels = number(mask, range(num_classes), _VOID)
            write_png(Path(root) / split / "masks" / f"{name}.png", labels)
            masks[split][name] = mask
    return masks
