"""Tiny photographs of objects: PASCAL VOC 2012."""

from pathlib import Path

from lightning_seg.data.datasets.voc import VOC_CLASSES
from lightning_seg.testing.files import (
    Masks,
    Size,
    draw_scene,
    number,
    write_jpeg,
    write_lines,
    write_paletted_png,
)

_VOID = 255


def write_voc(root: str | Path, size: Size = (48, 64), seed: int = 0) -> Masks:
    """Write VOC 2012: JPEGs of two sizes and paletted labels; ``augmented`` adds a training image.

    Test uses the validation images; test.txt lists one image without a label.
    """
    root = Path(root)
    masks: Masks = {}
    names = {
        "train": ["2007_000032", "2007_000039"],
        "val": ["2007_000033", "2007_000042"],
        "augmented": ["2008_000003"],
    }
    for split, listed in names.items():
        masks[split] = {}
        for index, name in enumerate(listed):
            sized = (size[0] + 4 * index, size[1])
            place = seed * 1000 + list(names).index(split) * 100 + index
            image, mask = draw_scene(place, sized, len(VOC_CLASSES), void=split != "augmented")
            labels = number(mask, range(len(VOC_CLASSES)), _VOID)
            write_jpeg(root / f"JPEGImages/{name}.jpg", image)
            write_paletted_png(root / f"SegmentationClassAug/{name}.png", labels)
            if split != "augmented":
                write_paletted_png(root / f"SegmentationClass/{name}.png", labels)
            masks[split][name] = mask
    masks["augmented"] |= masks["train"]
    lists = root / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        write_lines(lists / f"{split}.txt", names[split])
    write_lines(lists / "trainval.txt", [*names["train"], *names["val"]])
    image, _ = draw_scene(seed * 1000 + 900, size, len(VOC_CLASSES))
    write_jpeg(root / "JPEGImages/2008_000006.jpg", image)
    write_lines(lists / "test.txt", ["2008_000006"])
    return masks | {"test": masks["val"]}
