"""Splits of images by folders, by lists, or else at random."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.groups import SPLIT_OF, SPLITS, Group
from lightning_seg.data.reading.pairs import files_below
from lightning_seg.data.reading.text_lists import read_lines
from lightning_seg.errors import InputError

_FEW = 3  # images that cannot be split


Files = Mapping[tuple[str, str], Path]  # by split and name


def add_splits(
    root: Path, group: Group, images: Files, masks: Files, image_suffix: str, findings: Findings
) -> None:
    """Add the settings of the splits.

    Args:
        root: The folder that holds the files.
        group: The group of the images.
        images: The images.
        masks: The masks.
        image_suffix: Ending of image names that the names of ``images`` lack.
        findings: What is known of the folder.
    """
    settings, remarks = findings.settings, findings.remarks
    if "{split}" in group.folder:
        folders = {split: group.splits.get(split) for split in SPLITS}
        labelled = Counter(split for split, _ in images.keys() & masks.keys())
        if not labelled["train"]:
            raise InputError(
                f"{root} has folders of splits ({', '.join(group.splits.values())}), but "
                "no images with masks in train. Add a folder train."
            )
        renamed = {s: name for s, name in folders.items() if name not in (None, s) and labelled[s]}
        if not labelled["test"]:
            if labelled["val"]:
                renamed["test"] = folders["val"] or "val"
                remarks.append("No test images have masks: test uses the validation images.")
            else:
                renamed["test"] = folders["train"] or "train"
                remarks.append(
                    "There is no validation folder: a share of train validates. There is no test "
                    "folder with masks: test uses the training images, whose scores flatter."
                )
        if renamed:
            settings["split_folders"] = renamed
        return
    lists = _lists(root, [name for _, name in images], image_suffix)
    if "train" in lists and len(lists) > 1:
        missing = {"val", "test"} - lists.keys()
        if missing:
            (other,) = {"val", "test"} & lists.keys()
            lists |= dict.fromkeys(missing, lists[other])
            remarks.append("There is one list beside train's: it validates and tests.")
        settings |= {f"{split}_list": lists[split] for split in SPLITS}
        return
    if len(images.keys() & masks.keys()) < _FEW:
        settings["val_region"] = [0.7, 0.0, 1.0, 0.5]
        settings["test_region"] = [0.7, 0.5, 1.0, 1.0]
        remarks.append(
            "So few images cannot be split: of each, the lower left validates and the lower right "
            "tests."
        )
        return
    settings["fractions"] = [0.7, 0.15, 0.15]


def _lists(root: Path, names: Sequence[str], suffix: str) -> dict[str, str]:
    """Return text files such as train.txt that list images, by split."""
    known = set(names) | {f"{name}{suffix}" for name in names}
    lists: dict[str, str] = {}
    for path in sorted(files_below(root)):
        split = SPLIT_OF.get(path.stem.lower())
        if path.suffix.lower() != ".txt" or split is None or split in lists:
            continue
        lines = [line.strip() for line in read_lines(path, "") if line.strip()]
        stems = [os.path.splitext(line)[0] for line in lines]
        if lines and all(a in known or b in known for a, b in zip(lines, stems, strict=True)):
            lists[split] = path.relative_to(root).as_posix()
    return lists
