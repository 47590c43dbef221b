"""Image files, grouped by folder or by the folders of their splits."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_seg.data.reading.image_files import IMAGE_SUFFIXES
from lightning_seg.data.reading.pairs import files_below

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}
_ANY_SPLIT = "|".join(sorted(SPLIT_OF, key=len, reverse=True))
# A whole folder name, or its beginning or end: train, trainannot, images_train.
_SPLIT_NAME = re.compile(
    rf"^({_ANY_SPLIT})(?=$|[_\-. ]|annot|mask|label)|(?<=[_\-. ])({_ANY_SPLIT})$",
    re.IGNORECASE,
)


@dataclass
class Group:
    """Files of one folder, or of one folder for each split."""

    folder: str
    files: dict[tuple[str, str], Path] = field(default_factory=dict)  # by split and relative path
    splits: dict[str, str] = field(default_factory=dict)  # folder name of each split

    def named(self, suffix: str) -> dict[tuple[str, str], Path]:
        """Return the files whose names end so, without the ending, by split and name."""
        named: dict[tuple[str, str], Path] = {}
        for (split, relative), path in self.files.items():
            whole = relative if "." in suffix else os.path.splitext(relative)[0]
            if whole.endswith(suffix):
                named[split, whole.removesuffix(suffix)] = path
        return named


def with_split(folder: str) -> str:
    """Return the folders of splits below a folder."""
    return (Path(folder) / "{split}").as_posix()


def common_folder(root: Path) -> Path:
    """Return the folder that holds all images and folders of images."""
    folders = [p.parent for p in files_below(root) if p.suffix.lower() in IMAGE_SUFFIXES]
    return Path(os.path.commonpath(folders)) if folders else root


def find_groups(root: Path, given: Sequence[str]) -> list[Group]:
    """Return the groups of all images below a folder.

    Args:
        root: The folder.
        given: Folders below it that are groups.
    """
    groups: dict[str, Group] = {}
    for path in sorted(files_below(root)):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        *parents, name = path.relative_to(root).parts
        folder, split, rest = _placed(parents, given)
        group = groups.setdefault(folder, Group(folder))
        if split:
            group.splits[SPLIT_OF[split.lower()]] = split
        group.files[SPLIT_OF.get(split.lower(), ""), "/".join([*rest, name])] = path
    return list(groups.values())


def _placed(parents: Sequence[str], given: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """Return a file's folder with ``{split}``, the name of the split, and the folders below it."""
    for folder in given:
        parts = Path(folder).parts
        if "{split}" not in folder and tuple(parents[: len(parts)]) == parts:
            inside = parents[len(parts) :]
            if inside and inside[0].lower() in SPLIT_OF:
                return with_split(folder), inside[0], inside[1:]
            return folder, "", inside
    for depth, part in enumerate(parents):
        if found := _SPLIT_NAME.search(part):
            name = found[0]
            above = [*parents[:depth], part[: found.start()] + "{split}" + part[found.end() :]]
            # train/images/a.png, but images/train/town/a.png
            below = 1 if depth == 0 and found[0] == part and len(parents) > 1 else 0
            kind = parents[depth + 1 : depth + 1 + below]
            return "/".join([*above, *kind]), name, parents[depth + 1 + below :]
    return (parents[0] if parents else "."), "", parents[1:]
