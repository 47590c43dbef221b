"""Splits of images by folders, by lists, or else at random."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.groups import SPLIT_OF, SPLITS, Group
from lightning_seg.data.reading.pairs import files_below
from lightning_seg.data.sampling.splits import split_by_lists
from lightning_seg.errors import InputError

_FEW = 3  # images that cannot be split
_NO_FOLDER = "none"  # without a folder of this name, a share of train validates

Files = Mapping[tuple[str, str], Path]  # by split and name


def add_splits(given: Path, group: Group, images: Files, masks: Files, findings: Findings) -> None:
    """Add the settings of the splits.

    Args:
        given: The folder in which lists are searched.
        group: The group of the images.
        images: The images.
        masks: The masks.
        findings: What is known of the folder.
    """
    labelled = images.keys() & masks.keys()
    if "{split}" in group.folder:
        _add_folders(group, Counter(split for split, _ in labelled), findings)
        findings.remarks += [
            f"{path} is not used: the folders tell the splits." for _, path in _list_files(given)
        ]
        return
    lists = _lists(given, {name for _, name in images}, {name for _, name in labelled}, findings)
    if lists:
        _add_lists(given, lists, findings)
    elif len(labelled) < _FEW:
        findings.settings["val_region"] = [0.7, 0.0, 1.0, 0.5]
        findings.settings["test_region"] = [0.7, 0.5, 1.0, 1.0]
        findings.remarks.append(
            "So few images cannot be split: of each, the lower left validates and the lower right "
            "tests."
        )
    else:
        findings.settings["fractions"] = [0.7, 0.15, 0.15]


def _add_folders(group: Group, labelled: Counter[str], findings: Findings) -> None:
    settings, remarks = findings.settings, findings.remarks
    folders = {split: group.splits.get(split) for split in SPLITS}
    if not labelled["train"]:
        raise InputError(
            f"{settings['root']} has folders of splits ({', '.join(group.splits.values())}), but "
            "no images with masks in train. Add a folder train."
        )
    renamed = {s: name for s, name in folders.items() if name not in (None, s) and labelled[s]}
    if not labelled["val"]:
        remarks.append("No validation images have masks: a share of train validates.")
        if folders["val"]:
            renamed["val"] = _NO_FOLDER
    if not labelled["test"]:
        if labelled["val"]:
            renamed["test"] = folders["val"] or "val"
            remarks.append("No test images have masks: test uses the validation images.")
        else:
            renamed["test"] = folders["train"] or "train"
            remarks.append(
                "No test images have masks: test uses the training images, whose scores flatter."
            )
    if renamed:
        settings["split_folders"] = renamed


def _list_files(given: Path) -> Iterator[tuple[str, Path]]:
    """Yield the text files such as train.txt below a folder, with their splits."""
    for path in sorted(files_below(given)):
        split = SPLIT_OF.get(path.stem.lower())
        if path.suffix.lower() == ".txt" and split:
            yield split, path


def _lists(given: Path, names: set[str], labelled: set[str], findings: Findings) -> dict[str, Path]:
    """Return the lists of images by split; remark on those that cannot be used."""
    settings = findings.settings
    folder = settings["root"] / settings["images"]
    usable: list[tuple[int, Path, str]] = []
    for split, path in _list_files(given):
        try:
            listed = split_by_lists(names, {split: path}, settings.get("image_suffix", ""), folder)
        except InputError as error:
            findings.remarks.append(f"A list is not used: {error}")
            continue
        if labelled.isdisjoint(listed[split]):
            findings.remarks.append(f"{path} is not used: it names no images with masks.")
        else:
            usable.append((len(set(listed[split]) - labelled), path, split))
    lists: dict[str, Path] = {}
    for _, path, split in sorted(usable):  # first those whose images all have masks, as in VOC
        if split in lists:
            findings.remarks.append(f"{path} is not used: {lists[split]} is.")
        else:
            lists[split] = path
    if lists.keys() == {"train"}:
        findings.remarks.append(
            f"{lists.pop('train')} is not used: no list beside it names images for validation. Add "
            "a list val.txt."
        )
    return lists


def _add_lists(given: Path, lists: dict[str, Path], findings: Findings) -> None:
    settings, remarks = findings.settings, findings.remarks
    root = settings["root"]
    if not all(path.is_relative_to(root) for path in lists.values()):
        for kind in ("images", "masks"):
            settings[kind] = (root / settings[kind]).relative_to(given).as_posix()
        root = settings["root"] = given
    if "val" not in lists and "train" in lists:
        lists["val"] = lists["test"]
        remarks.append("There is one list beside train's: it validates and tests.")
    elif "test" not in lists:
        lists["test"] = lists["val"]
        remarks.append("There is no test list: test uses the validation images.")
    for split in SPLITS:
        if split in lists:
            settings[f"{split}_list"] = lists[split].relative_to(root).as_posix()
    if lists.keys() == {"test"}:
        settings["fractions"] = [0.8, 0.2, 0.0]
