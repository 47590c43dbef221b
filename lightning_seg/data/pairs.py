"""Which image goes with which label, checked before any training starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_seg.data.reading import IMAGE_SUFFIXES, image_size
from lightning_seg.errors import InputError

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """One sample on disk.

    Args:
        name: The sample's stable name, relative to its split, without suffix.
        image: The image file.
        label: The label file; None where only predictions are wanted.
    """

    name: str
    image: Path
    label: Path | None = None


def find_images(folder: Path, missing: str = "") -> dict[str, Path]:
    """Every image file below a folder by its name: the relative path without suffix, sorted.

    Args:
        folder: The folder to search, with all its sub-folders.
        missing: What to tell the person when there is no such folder.

    Raises:
        InputError: The folder is missing, or two files differ in their suffix alone.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder.absolute()} does not exist. {missing}".strip())
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{found[name]} and {path} have the same name. Rename one of them.")
        found[name] = path
    return found


def match_pairs(
    images: Mapping[str, Path], labels: Mapping[str, Path], image_folder: Path, label_folder: Path
) -> list[Pair]:
    """Pairs images and labels of equal name.

    Raises:
        InputError: An image has no label, or a label no image; the folders are for the message.
    """
    _refuse_unpaired(images, labels, "image", f"a label in {label_folder}")
    _refuse_unpaired(labels, images, "label", f"an image in {image_folder}")
    return [Pair(name, path, labels[name]) for name, path in images.items()]


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Compares sizes of images and labels, reading only the files' headers.

    Raises:
        InputError: A file is missing or no image, or an image and its label differ in size.
    """
    for pair in pairs:
        size = image_size(pair.image)
        if pair.label is None:
            continue
        label_size = image_size(pair.label)
        if size != label_size:
            raise InputError(
                f"{pair.image} is {size[1]} x {size[0]} pixels, but its label {pair.label} is "
                f"{label_size[1]} x {label_size[0]}. Make both the same size (labels by nearest "
                "neighbour), or take the pair out."
            )


def _refuse_unpaired(
    files: Mapping[str, Path], partners: Mapping[str, Path], what: str, wanted: str
) -> None:
    alone = [path for name, path in files.items() if name not in partners]
    if not alone:
        return
    shown = ", ".join(str(path) for path in alone[:_SHOWN])
    more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
    raise InputError(
        f"{len(alone)} {what}(s) without {wanted}: {shown}{more}. "
        f"Add what is missing, or take the {what}(s) out; the names must be equal but for suffixes."
    )
