"""Which files below a folder are images, and which are their masks."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.groups import Group, common_folder, find_groups, with_split
from lightning_seg.data.discovery.splits import add_splits
from lightning_seg.data.discovery.windows import MOST_VALUES, first_window, spread
from lightning_seg.data.reading.image_files import IMAGE_SUFFIXES, read_bands
from lightning_seg.errors import InputError

_MASK_NAME = re.compile(
    r"mask|label|lbl|annot|anno\b|segm|(^|[^a-z])gts?([^a-z]|$)|ground.?truth|target", re.IGNORECASE
)
_ENDING = re.compile(r"|[_\-. ].*[^\W\d_].*")  # none, or from a separator on, with a letter
_READ_PAIRS = 8


@dataclass
class _Match:
    """A group of images and a group of masks of equal names."""

    images: Group
    masks: Group
    image_suffix: str
    mask_suffix: str
    pairs: int


def find_layout(
    root: Path,
    images: str | None = None,
    masks: str | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
) -> Findings:
    """Return the settings that name the images, masks and splits below a folder.

    Args:
        root: The folder.
        images: Folder of the images below ``root``, if known.
        masks: The same of the masks.
        image_suffix: Ending of image names, if known.
        mask_suffix: The same of masks.

    Raises:
        InputError: There are no images, or masks cannot be told from images.
    """
    searched = root
    if images is None and masks is None:
        root = common_folder(root)
    groups = find_groups(root, [folder for folder in (images, masks) if folder])
    if not groups:
        raise InputError(
            f"{root.absolute()} holds no images. Give a folder of images and masks: "
            f"{', '.join(IMAGE_SUFFIXES)}."
        )
    matches = [
        match
        for group in groups
        for other in groups
        if _is_given(group.folder, images) and _is_given(other.folder, masks)
        for match in _matches(group, other, image_suffix, mask_suffix)
    ]
    given = any((images, masks, image_suffix, mask_suffix))
    match = _best(root, groups, matches, given)
    findings = Findings({"root": root, "images": match.images.folder, "masks": match.masks.folder})
    for name, suffix in (("image_suffix", match.image_suffix), ("mask_suffix", match.mask_suffix)):
        if suffix:
            findings.settings[name] = suffix
    named = match.images.named(match.image_suffix), match.masks.named(match.mask_suffix)
    add_splits(searched, match.images, *named, findings)
    return findings


def _is_given(folder: str, given: str | None) -> bool:
    """Return whether a group's folder, perhaps with one for each split, is the given one."""
    return given is None or folder in (given, with_split(given))


def _matches(
    images: Group, masks: Group, image_suffix: str | None, mask_suffix: str | None
) -> Iterator[_Match]:
    """Yield the ways in which names of two groups, or of one, are equal but for an ending."""
    endings = {(image_suffix or "", mask_suffix or "")}
    for (split, image), path in list(images.files.items())[:2]:
        stem = os.path.splitext(image)[0]
        longest = 1
        nearest: set[tuple[str, str]] = set()
        for (other_split, mask), other in masks.files.items():
            other_stem = os.path.splitext(mask)[0]
            if other == path or other_split != split:
                continue
            if stem == other_stem and images is masks:
                endings.add((path.suffix, other.suffix))
                continue
            length = _length_of_name(stem, other_stem)
            if length >= longest:
                nearest = nearest if length == longest else set()
                longest = length
                nearest.add((stem[length:], other_stem[length:]))
        endings |= nearest
    for ending, other_ending in sorted(endings):
        if image_suffix not in (None, ending) or mask_suffix not in (None, other_ending):
            continue
        if images is masks and ending == other_ending:
            continue
        named, other_named = images.named(ending), masks.named(other_ending)
        shared = named.keys() & other_named.keys()
        pairs = sum(named[key] != other_named[key] for key in shared)
        if pairs:
            yield _Match(images, masks, ending, other_ending, pairs)


def _length_of_name(one: str, other: str) -> int:
    """Return the length of the common name of two stems, before their endings; 0 for none."""
    pairs = enumerate(zip(one, other, strict=False))
    length = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
    while length and not all(_ENDING.fullmatch(stem[length:]) for stem in (one, other)):
        length -= 1
    return length


def _best(root: Path, groups: Sequence[Group], matches: Sequence[_Match], given: bool) -> _Match:
    """Return the match of most pairs whose masks look like masks, unless folders are given."""
    folders = ", ".join(dict.fromkeys(group.folder for group in groups))
    if not matches:
        raise InputError(
            f"No image below {root} (folders: {folders}) has a mask of the same name. Name both "
            "folders below it (--images, --masks), or the endings of the names (--image_suffix "
            "_image, --mask_suffix _mask)."
        )
    most = max(match.pairs for match in matches)
    likely = [m for m in matches if m.pairs * 2 > most and (given or _named_as_masks(m) >= 0)]
    named = [m for m in likely if _named_as_masks(m) > 0]
    named = named or [m for m in likely if _look_so(m)] or (likely if given else [])
    if not named:
        raise InputError(
            f"Masks cannot be told from images below {root} (folders: {folders}). Name the masks' "
            "folder (--masks) or the ending of their names (--mask_suffix _mask)."
        )
    # Of several kinds of masks, the one of most pairs and shortest ending.
    named.sort(key=lambda m: (-m.pairs, len(m.image_suffix + m.mask_suffix)))
    best = [m for m in named if m.pairs == named[0].pairs]
    for kind, of_kind in (
        ("masks", {m.masks.folder for m in best}),
        ("images", {m.images.folder for m in best}),
    ):
        if len(of_kind) > 1:
            raise InputError(
                f"Several folders below {root} hold {kind}: {', '.join(sorted(of_kind))}. Choose "
                f"one: --{kind} FOLDER."
            )
    return named[0]


def _named_as_masks(match: _Match) -> int:
    """Return 1 if the names say which are masks, -1 if they say the opposite, 0 if nothing."""
    said = [
        bool(_MASK_NAME.search(folder) or _MASK_NAME.search(suffix))
        for folder, suffix in (
            (match.masks.folder if match.masks is not match.images else "", match.mask_suffix),
            (match.images.folder if match.masks is not match.images else "", match.image_suffix),
        )
    ]
    return int(said[0]) - int(said[1])


def _look_so(match: _Match) -> bool:
    """Return whether the first bands of masks have few values, and those of images many."""
    images = match.images.named(match.image_suffix)
    masks = match.masks.named(match.mask_suffix)
    keys = spread(sorted(images.keys() & masks.keys()), _READ_PAIRS)
    few = []
    for paths in ([images[key] for key in keys], [masks[key] for key in keys]):
        bands = [read_bands(path, first_window(path))[..., 0] for path in paths]
        few.append(len(set().union(*(np.unique(band).tolist() for band in bands))) <= MOST_VALUES)
    return few == [False, True]
