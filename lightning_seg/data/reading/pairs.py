"""Pairs of image and label files, checked before training starts."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path

from lightning_seg.data.reading.georeference import refuse_other_place
from lightning_seg.data.reading.image_files import IMAGE_SUFFIXES, image_size
from lightning_seg.data.reading.labels import LabelDecoder
from lightning_seg.data.reading.tiff import REMOTE_VARIABLE, Window
from lightning_seg.errors import InputError
from lightning_seg.files import RUN_MARK


@dataclass(frozen=True)
class Pair:
    """One sample on disk.

    Args:
        name: The sample's stable name, relative to its split, without suffix.
        image: The image file.
        label: Path from which the dataset's decoder reads the mask; None for images to predict.
        extra: A file with an extra channel: elevation or depth.
        part: The part of the files that makes up the sample, in pixels as read; by default all.
        without: Parts held out for evaluation, in pixels as read: labels are ignored there, and no
            training crop touches them.
    """

    name: str
    image: Path
    label: Path | None = None
    extra: Path | None = None
    part: Window | None = None
    without: tuple[Window, ...] = ()


class PairingError(InputError):
    """Files of a split are missing or unpaired.

    Args:
        problems: A sentence for each cause; the first is the error message.
        pairs: The pairs that remain usable.
    """

    def __init__(self, problems: Sequence[str], pairs: Sequence[Pair]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)
        self.pairs = tuple(pairs)


def require_folder(folder: Path, hint: str = "") -> None:
    """Refuses a folder that is not there, and says where to get it and how it must look."""
    if not os.path.isdir(folder):  # unlike Path.is_dir, also for names that are too long
        raise InputError(f"The folder {folder.absolute()} does not exist. {hint}".strip())


def find_images(
    folder: Path,
    missing: str = "",
    ending: str = "",
    without: str = "",
    among: Iterable[Path] | None = None,
) -> dict[str, Path]:
    """Return all image files below a folder by name, the relative path without suffix, sorted.

    Args:
        folder: The folder to search, with all its sub-folders, linked ones, too.
        missing: Advice for the error message if the folder is missing.
        ending: Only files whose names end so, such as "_image" or "_image.png"; names lack it.
        without: No files whose names end so.
        among: Only these files; by default all.
    """
    require_folder(folder, missing)
    images: dict[str, Path] = {}
    others: set[str] = set()
    paths = files_below(folder) if among is None else (path for path in among if path.is_file())
    for path in sorted(paths):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            others.add(path.suffix or path.name)
            continue
        if not _ends(path, ending) or (without and _ends(path, without)):
            continue
        relative = path.relative_to(folder)
        name = (relative if "." in ending else relative.with_suffix("")).as_posix()
        name = name.removesuffix(ending)
        if name in images:
            raise InputError(f"{images[name]} and {path} have the same name. Rename one of them.")
        images[name] = path
    if others and not images:
        raise InputError(
            f"{folder} holds no image that can be read, but {', '.join(sorted(others)[:6])}. Read "
            f"are {', '.join(IMAGE_SUFFIXES)}: convert the images, or correct the folder."
        )
    return images


def _ends(path: Path, ending: str) -> bool:
    return (path.name if "." in ending else path.stem).endswith(ending)


def images_at(root: str | Path) -> dict[str, Path]:
    """Return the images that an image, a folder or a glob pattern names, by name.

    Names are relative to the folder, or to the last folder before a pattern's first wildcard.
    """
    path = Path(root)
    if str(root).startswith("/vsi"):
        raise InputError(
            f"predict_root is {root}, a path that only GDAL knows. Name it in a VRT "
            f"(gdal_translate -of VRT {root} tile.vrt) and set predict_root to that file. "
            f"Such a VRT is only read with the environment variable {REMOTE_VARIABLE}=1."
        )
    if os.path.isfile(path):
        return {path.stem: path}
    folder = folder_of(path)
    if folder == path:
        return find_images(path, "Set predict_root to an image, a folder of them or a pattern.")
    matches = {Path(match) for match in glob(str(path), recursive=True)}
    images = find_images(folder, among=matches)
    if not images:
        raise InputError(f"predict_root: no image matches {root}. Correct the pattern.")
    return images


def folder_of(root: Path) -> Path:
    """Return the folder before a pattern's first wildcard; a folder itself."""
    if os.path.isdir(root):
        return root
    return Path(*takewhile(lambda part: not has_magic(part), root.parts))


def files_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden, through links, but not in circles.

    Folders of runs, which hold pictures, are left out.
    """
    try:
        status, paths = folder.stat(), list(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be read: {error.strerror}. Correct its permissions."
        ) from error
    here = above | {(status.st_dev, status.st_ino)}
    if len(here) == len(above):  # a link to a folder that it is in
        return
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not (path / RUN_MARK).exists():
                yield from files_below(path, here)
        elif path.is_file():
            yield path


def match_pairs(
    images: Mapping[str, Path], labels: Mapping[str, Path], image_folder: Path, label_folder: Path
) -> list[Pair]:
    """Pair images and labels of equal name."""
    pairs = [Pair(name, path, labels[name]) for name, path in images.items() if name in labels]
    unpaired = {
        f"image(s) without a label in {label_folder}": (_alone(images, labels), label_folder),
        f"label(s) without an image in {image_folder}": (_alone(labels, images), image_folder),
    }
    problems = [
        f"{len(paths)} {what}: {first_of(paths)}. {_unread(paths[0], folder)}Add the missing "
        f"files, or remove the {what.partition(' ')[0]}. Names must be equal except for suffixes."
        for what, (paths, folder) in unpaired.items()
        if paths
    ]
    if problems:
        raise PairingError(problems, pairs)
    return pairs


def refuse_missing(
    pairs: Sequence[Pair], decoder: LabelDecoder, name: str, hint: str, masks_alone: bool = False
) -> None:
    """Raise unless all files of the pairs exist.

    Args:
        pairs: The pairs.
        decoder: Lists the files of a label.
        name: Name of the pairs for the message, such as "the test tiles".
        hint: Advice that ends the error message.
        masks_alone: Images may be missing.
    """
    wanted = {pair: _files(pair, decoder)[masks_alone:] for pair in pairs}
    missing = {
        pair: [path for path in paths if not os.path.isfile(path)] for pair, paths in wanted.items()
    }
    absent = [path for paths in missing.values() for path in paths]
    if absent:
        raise PairingError(
            [
                f"{len(absent)} of {sum(map(len, wanted.values()))} files of {name} are missing: "
                f"{first_of(absent)}. {hint}"
            ],
            [pair for pair, paths in missing.items() if not paths],
        )


def check_alignment(pairs: Sequence[Pair], decoder: LabelDecoder, image_downscale: int = 1) -> None:
    """Raise unless images and labels agree in size, and in place if both are georeferenced.

    Only file headers are read.

    Args:
        pairs: The pairs.
        decoder: Reads the size of a label.
        image_downscale: Expected size of image files relative to label files.
    """
    for pair in pairs:
        size = image_size(pair.image)
        partners = {}
        if pair.label is not None:
            height, width = decoder.size(pair.label)
            shown = height * image_downscale, width * image_downscale
            partners["label"] = pair.label, shown
        if pair.extra is not None:
            partners["extra channel"] = pair.extra, image_size(pair.extra)
        for kind, (path, other) in partners.items():
            refuse_other_place(pair.image, path, kind)
            if size != other:
                times = f" (times {image_downscale})" if image_downscale > 1 else ""
                raise InputError(
                    f"{pair.image} is {size[1]} x {size[0]} pixels, but its {kind} {path} is "
                    f"{other[1]} x {other[0]}{times}. Make both the same size (labels by nearest "
                    "neighbour), or remove the pair."
                )


def _files(pair: Pair, decoder: LabelDecoder) -> list[Path]:
    files = [pair.image] if pair.extra is None else [pair.image, pair.extra]
    return files if pair.label is None else [*files, *decoder.files(pair.label)]


def _unread(path: Path, folder: Path) -> str:
    """Return a sentence if the partner of a file is there in a format that is not read."""
    partners = [p for p in files_below(folder) if p.stem == path.stem and p.suffix]
    unread = [partner for partner in partners if partner.suffix.lower() not in IMAGE_SUFFIXES]
    if not unread:
        return ""
    return f"{unread[0]} is there, but {unread[0].suffix} is not read: convert it to PNG or TIFF. "


def _alone(files: Mapping[str, Path], partners: Mapping[str, Path]) -> list[Path]:
    return [path for name, path in files.items() if name not in partners]


def first_of(paths: Sequence[Path], shown: int = 3) -> str:
    """List the first paths, and the number of the others."""
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return f"{', '.join(map(str, paths[:shown]))}{more}"
