"""What a folder of images and masks holds, as settings of `FolderDataModule`."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.reading.image_files import (
    IMAGE_SUFFIXES,
    image_channels,
    image_size,
    is_paletted,
    read_bands,
    read_image,
    read_label,
)
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.pairs import Pair, files_below
from lightning_seg.data.reading.text_lists import read_lines
from lightning_seg.data.reading.tiff import Window, band_names, has_alpha, is_raster
from lightning_seg.errors import InputError

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}
_ANY_SPLIT = "|".join(sorted(_SPLIT_OF, key=len, reverse=True))
# A whole folder name, or its beginning or end: train, trainannot, images_train.
_SPLIT_NAME = re.compile(
    rf"^({_ANY_SPLIT})(?=$|[_\-. ]|annot|mask|label)|(?<=[_\-. ])({_ANY_SPLIT})$",
    re.IGNORECASE,
)
_MASK_NAME = re.compile(
    r"mask|label|lbl|annot|anno\b|segm|(^|[^a-z])gts?([^a-z]|$)|ground.?truth|target", re.IGNORECASE
)
_ENDING = re.compile(r"|[_\-. ].*[^\W\d_].*")  # none, or from a separator on, with a letter
_PALETTE_GAP = 32  # classes that a set of masks may lack
_MOST_VALUES = 64  # of masks; photos have more
_READ_MASKS = 500
_READ_IMAGES = 8
_WINDOW = 1024
_ROWS = 1024
_FEW = 3  # images that cannot be split


@dataclass
class Layout:
    """Where images and masks are, as settings, and remarks on what was assumed."""

    settings: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _Group:
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


@dataclass
class _Match:
    """A group of images and a group of masks of equal names."""

    images: _Group
    masks: _Group
    image_suffix: str
    mask_suffix: str
    pairs: int


def find_layout(
    root: Path,
    images: str | None = None,
    masks: str | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
) -> Layout:
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
    if images is None and masks is None:
        root = _common_folder(root)
    groups = _groups(root, [folder for folder in (images, masks) if folder])
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
    match = _best(root, groups, matches)
    layout = Layout({"root": root, "images": match.images.folder, "masks": match.masks.folder})
    for name, suffix in (("image_suffix", match.image_suffix), ("mask_suffix", match.mask_suffix)):
        if suffix:
            layout.settings[name] = suffix
    _add_splits(root, match, layout)
    return layout


def _is_given(folder: str, given: str | None) -> bool:
    """Return whether a group's folder, perhaps with one for each split, is the given one."""
    return given is None or folder in (given, _with_split(given))


def _with_split(folder: str) -> str:
    return (Path(folder) / "{split}").as_posix()


def _common_folder(root: Path) -> Path:
    """Return the folder that holds all images and folders of images."""
    folders = [p.parent for p in files_below(root) if p.suffix.lower() in IMAGE_SUFFIXES]
    return Path(os.path.commonpath(folders)) if folders else root


def _groups(root: Path, given: Sequence[str]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for path in sorted(files_below(root)):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        *parents, name = path.relative_to(root).parts
        folder, split, rest = _placed(parents, given)
        group = groups.setdefault(folder, _Group(folder))
        if split:
            group.splits[_SPLIT_OF[split.lower()]] = split
        group.files[_SPLIT_OF.get(split.lower(), ""), "/".join([*rest, name])] = path
    return list(groups.values())


def _placed(parents: Sequence[str], given: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """Return a file's folder with ``{split}``, the name of the split, and the folders below it."""
    for folder in given:
        parts = Path(folder).parts
        if "{split}" not in folder and tuple(parents[: len(parts)]) == parts:
            inside = parents[len(parts) :]
            if inside and inside[0].lower() in _SPLIT_OF:
                return _with_split(folder), inside[0], inside[1:]
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


def _matches(
    images: _Group, masks: _Group, image_suffix: str | None, mask_suffix: str | None
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


def _best(root: Path, groups: Sequence[_Group], matches: Sequence[_Match]) -> _Match:
    """Return the match of most pairs whose masks look like masks."""
    folders = ", ".join(dict.fromkeys(group.folder for group in groups))
    if not matches:
        raise InputError(
            f"No image below {root} (folders: {folders}) has a mask of the same name. Name both "
            "folders below it (--images, --masks), or the endings of the names (--image_suffix "
            "_image, --mask_suffix _mask)."
        )
    most = max(match.pairs for match in matches)
    likely = [m for m in matches if m.pairs * 2 > most and _named_as_masks(m) >= 0]
    named = [m for m in likely if _named_as_masks(m) > 0] or [m for m in likely if _look_so(m)]
    if not named:
        raise InputError(
            f"Masks cannot be told from images below {root} (folders: {folders}). Name the masks' "
            "folder (--masks) or the ending of their names (--mask_suffix _mask)."
        )
    # Of several kinds of masks, the one of most pairs and shortest ending.
    named.sort(key=lambda m: (-m.pairs, len(m.image_suffix + m.mask_suffix)))
    folders_of_best = {m.masks.folder for m in named if m.pairs == named[0].pairs}
    if len(folders_of_best) > 1:
        raise InputError(
            f"Several folders below {root} hold masks: {', '.join(sorted(folders_of_best))}. "
            "Choose one: --masks FOLDER."
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
    """Return whether masks have few values, and images many."""
    key = min(match.images.named(match.image_suffix).keys() & match.masks.named(match.mask_suffix))
    few = [
        len(np.unique(_codes(read_label(path, colors=True, window=_first_window(path)))))
        <= _MOST_VALUES
        for path in (
            match.images.named(match.image_suffix)[key],
            match.masks.named(match.mask_suffix)[key],
        )
    ]
    return few == [False, True]


def _add_splits(root: Path, match: _Match, layout: Layout) -> None:
    settings, remarks = layout.settings, layout.remarks
    images = match.images.named(match.image_suffix)
    masks = match.masks.named(match.mask_suffix)
    if "{split}" in match.images.folder:
        folders = {split: match.images.splits.get(split) for split in SPLITS}
        labelled = Counter(split for split, _ in images.keys() & masks.keys())
        if not labelled["train"]:
            raise InputError(
                f"{root} has folders of splits ({', '.join(match.images.splits.values())}), but "
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
    lists = _lists(root, [name for _, name in images], match.image_suffix)
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
        split = _SPLIT_OF.get(path.stem.lower())
        if path.suffix.lower() != ".txt" or split is None or split in lists:
            continue
        lines = [line.strip() for line in read_lines(path, "") if line.strip()]
        stems = [os.path.splitext(line)[0] for line in lines]
        if lines and all(a in known or b in known for a, b in zip(lines, stems, strict=True)):
            lists[split] = path.relative_to(root).as_posix()
    return lists


def find_classes(
    masks: Sequence[Path], names: Sequence[str] = (), ignored: Sequence[int] = ()
) -> Layout:
    """Return the settings that decode masks: classes and their values, and ignored values.

    Args:
        masks: The masks; of more than 500, as many are read, spread evenly.
        names: Names of the classes, if known.
        ignored: Numbers of unlabelled pixels, if known.

    Raises:
        InputError: Values are not those of classes, or not as many as names.
    """
    layout = Layout()
    if len(masks) > _READ_MASKS:
        layout.remarks.append(f"Of {len(masks)} masks, {_READ_MASKS} were read.")
        masks = _spread(masks, _READ_MASKS)
    # A few tell at once that most masks, which have one band or colours, are none of bands.
    bands = _find_bands(_spread(masks, _READ_IMAGES), ignored) and _find_bands(masks, ignored)
    if bands:
        _add_bands(bands, masks[0], names, ignored, layout)
        return layout
    pixels, in_colors = _values(masks)
    if len(pixels) > (256 if not in_colors else _MOST_VALUES) or _is_blurred(pixels):
        pixels = _main_values(pixels, masks[0], layout)
    if in_colors:
        _add_colors(pixels, layout)
    else:
        _add_numbers(pixels, is_paletted(masks[0]), ignored, layout)
    _add_names(names, layout)
    return layout


@dataclass
class _Bands:
    """Values of masks with a band for each class."""

    count: int
    values: set[int]


def _find_bands(masks: Sequence[Path], ignored: Sequence[int]) -> _Bands | None:
    """Return the bands of masks with a band of absent and present for each class, else None.

    Such bands hold 0 and 1, and perhaps 255 or ``ignored``. They differ somewhere, unlike those of
    a grey mask that was saved with three channels. Files with an alpha channel do not count, nor
    bands of 0 and 255 if there are three, or if 255 is among ``ignored``.
    """
    allowed = {0, 1, IGNORE_INDEX, *ignored}
    values: set[int] = set()
    counts: set[int] = set()
    differ = False
    known: set[int] = set()  # bands that do not hold 255 alone
    for path in masks:
        for window in _strips(path):
            stored = read_bands(path, window)
            counts.add(stored.shape[2])
            if len(counts) > 1 or stored.shape[2] < 2:
                return None
            if not np.issubdtype(stored.dtype, np.integer):
                return None
            values |= set(np.unique(stored).tolist())
            if not values <= allowed:
                return None
            differ = differ or bool((stored != stored[..., :1]).any())
            known |= set(np.flatnonzero((stored != IGNORE_INDEX).any(axis=(0, 1))).tolist())
    (count,) = counts
    in_colors = 1 not in values and (count == 3 or not is_raster(masks[0]))
    alpha = has_alpha(masks[0]) if is_raster(masks[0]) else count in (2, 4)
    unsure = in_colors or alpha or (1 not in values and IGNORE_INDEX in ignored)
    return _Bands(count, values) if differ and len(known) == count and not unsure else None


def _add_bands(
    bands: _Bands, example: Path, names: Sequence[str], ignored: Sequence[int], layout: Layout
) -> None:
    settings, remarks = layout.settings, layout.remarks
    found = names or (band_names(example) if is_raster(example) else ())
    if names and len(names) != bands.count:
        raise InputError(
            f"--classes names {len(names)} classes, but the masks have {bands.count} bands, one "
            "for each class. Name each."
        )
    settings["multi_label"] = True
    if len(set(found)) == bands.count:
        settings["class_names"] = list(found)
    else:
        settings["num_classes"] = bands.count
    remarks.append(
        f"Each of the masks' {bands.count} bands is taken for a class, and pixels may have several "
        "(multi_label)."
    )
    if 1 not in bands.values:
        settings["palette"] = [0, IGNORE_INDEX]
        remarks.append("255 is taken for the presence of a class.")
    if ignored:
        settings["ignored"] = list(ignored)
    elif {1, IGNORE_INDEX} <= bands.values:
        settings["ignored"] = [IGNORE_INDEX]
        remarks.append("255 is taken for ignored pixels.")


def _spread(files: Sequence[Path], count: int) -> Sequence[Path]:
    """Return at most ``count`` files, spread evenly."""
    if len(files) <= count:
        return files
    return [files[i * len(files) // count] for i in range(count)]


def _values(masks: Sequence[Path]) -> tuple[Counter[int], bool]:
    """Return the pixels of each number, or of each colour as 0xRRGGBB, and if they are colours."""
    in_colors = any(_is_colored(path) for path in masks[:_READ_IMAGES])
    pixels: Counter[int] = Counter()
    for path in masks:
        for window in _strips(path):
            part = read_label(path, in_colors, window)
            if not np.issubdtype(part.dtype, np.integer):
                raise InputError(
                    f"{path}: the mask holds {part.dtype}, but class numbers are whole. Save the "
                    "masks with 8 or 16 bits."
                )
            values, counts = np.unique(_codes(part) if in_colors else part, return_counts=True)
            pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(pixels) > 100_000:
            break
    return pixels, in_colors


def _is_colored(path: Path) -> bool:
    try:
        read_label(path, colors=False, window=_first_window(path))
    except InputError as error:
        if "is a colour label" in str(error):
            return True
        raise
    return False


def _is_blurred(pixels: Counter[int]) -> bool:
    """Return whether few values hold nearly all pixels, and many others the rest."""
    few = sum(count for _, count in pixels.most_common(8))
    return len(pixels) > _MOST_VALUES and few > 0.9 * pixels.total()


def _main_values(pixels: Counter[int], example: Path, layout: Layout) -> Counter[int]:
    main = Counter({v: n for v, n in pixels.items() if n >= 0.005 * pixels.total()})
    if not 2 <= len(main) <= _MOST_VALUES or main.total() < 0.8 * pixels.total():
        raise InputError(
            f"The masks, such as {example}, hold {len(pixels)} different values, so they are not "
            "masks of classes. Name the masks' folder (--masks) or ending (--mask_suffix)."
        )
    layout.settings["unknown"] = "nearest"
    layout.remarks.append(
        f"{1 - main.total() / pixels.total():.1%} of the masks' pixels have blended values: they "
        "are taken for the nearest class (unknown: nearest)."
    )
    return main


def _add_colors(pixels: Counter[int], layout: Layout) -> None:
    colors = [(code >> 16, code >> 8 & 255, code & 255) for code in sorted(pixels)]
    known = {color: name for name, color in ISPRS_CLASSES.items()}
    others = [color for color in colors if color not in known]
    if len(colors) - len(others) >= 3 and others in ([], [(0, 0, 0)]):
        found = [color for color in known if color in colors]
        layout.settings |= {
            "class_names": [known[color] for color in found],
            "palette": [list(color) for color in found],
        }
        layout.remarks.append("Colours are those of ISPRS 2D semantic labelling.")
        if others:
            layout.settings["ignored"] = [[0, 0, 0]]
            layout.remarks.append("Black is ignored there.")
        return
    layout.settings["palette"] = [list(color) for color in colors]


def _add_numbers(
    pixels: Counter[int], paletted: bool, given: Sequence[int], layout: Layout
) -> None:
    settings, remarks = layout.settings, layout.remarks
    ignored = list(given) or [value for value in pixels if value < 0]
    values = sorted(value for value in pixels if value not in ignored)
    without_255 = [value for value in values if value != IGNORE_INDEX]
    highest = max(without_255, default=0)
    # Palettes number their classes, also those that no mask holds, but leave no large gaps.
    most = 2 * len(without_255) + (_PALETTE_GAP if paletted else 0)
    counted = len(without_255) > 1 and highest < most
    if given or any(value < 0 for value in pixels):
        settings["ignored"] = ignored
    if counted and without_255[0] == 1:
        settings["palette"] = list(range(1, highest + 1))
        absent = "0 is ignored" if 0 in ignored else "No mask holds 0"
        remarks.append(f"{absent}: classes are numbered from 1 on.")
    elif counted:
        settings["num_classes"] = highest + 1
    else:
        settings["palette"] = values
    if counted and IGNORE_INDEX in values and not given:
        settings.setdefault("ignored", [*ignored, IGNORE_INDEX])
        remarks.append("255 is taken for ignored pixels.")
    elif counted and not ignored:
        remarks.append("No value is ignored; if one means unlabelled, give it: --ignored NUMBER.")
    elif not counted and IGNORE_INDEX in values and len(values) > 2:
        remarks.append("255 is taken for a class; --ignored 255 ignores it.")


def _add_names(names: Sequence[str], layout: Layout) -> None:
    settings = layout.settings
    found = settings.get("num_classes") or len(settings["palette"])
    if found < 2 and not names:
        raise InputError(
            f"The masks hold one value alone, {settings['palette']}. Give masks of two classes or "
            "more; background is a class, too."
        )
    if not names:
        return
    if len(names) < found or (len(names) > found and "palette" in settings):
        raise InputError(
            f"--classes names {len(names)} classes, but the masks hold {found} "
            f"({settings.get('palette') or f'0 to {found - 1}'}). Name each; give numbers of "
            "unlabelled pixels as --ignored."
        )
    settings.pop("num_classes", None)
    settings["class_names"] = list(names)


@dataclass
class Images:
    """Sizes and values of images.

    Attributes:
        sizes: Number of images of each (height, width).
        settings: Settings of `FolderDataModule`: channels and value range, where not the default.
        remarks: What was assumed.
        values: Lowest and highest value of the images that were read.
        dtype: Type of the values.
    """

    sizes: Counter[tuple[int, int]]
    settings: dict[str, Any]
    remarks: list[str]
    values: tuple[float, float]
    dtype: str


def find_image_format(pairs: Sequence[Pair]) -> Images:
    """Return sizes, channels and value range; sizes of all images, values of up to 8."""
    sizes = Counter(image_size(pair.image) for pair in pairs)
    count = min(_READ_IMAGES, len(pairs))
    read = [pairs[i * len(pairs) // count].image for i in range(count)]
    channels = image_channels(read[0])
    # Grey images are read as three channels, and alpha is dropped.
    in_channels = 3 if channels == 1 or (channels == 4 and not is_raster(read[0])) else channels
    low, high = float("inf"), float("-inf")
    for path in read:
        image = read_image(path, in_channels, _first_window(path))
        finite = image[np.isfinite(image)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    settings: dict[str, Any] = {"in_channels": in_channels} if in_channels != 3 else {}
    remarks: list[str] = []
    if image.dtype == np.uint16:
        most = 2 ** max(int(high).bit_length(), 8) - 1
        if most < np.iinfo(np.uint16).max:
            settings["value_range"] = [0, most]
    elif image.dtype != np.uint8 and (low < 0 or high > 1):
        settings["value_range"] = [round(low, 3), round(high, 3)] if low < high else [low, low + 1]
    if "value_range" in settings:
        remarks.append(f"Values are scaled from {settings['value_range']}, by {count} image(s).")
    return Images(sizes, settings, remarks, (low, high), str(image.dtype))


def _codes(colors: np.ndarray) -> np.ndarray:
    wide = colors.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _first_window(path: Path) -> Window | None:
    """Return a window in the middle of a raster; None for other files, which are read whole."""
    if not is_raster(path):
        return None
    height, width = image_size(path)
    rows, columns = min(height, _WINDOW), min(width, _WINDOW)
    return Window((height - rows) // 2, (width - columns) // 2, rows, columns)


def _strips(path: Path) -> list[Window | None]:
    if not is_raster(path):
        return [None]
    height, width = image_size(path)
    return [Window(row, 0, min(_ROWS, height - row), width) for row in range(0, height, _ROWS)]
