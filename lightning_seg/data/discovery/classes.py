"""The classes of masks, by their values."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.discovery.bands import add_bands, find_bands
from lightning_seg.data.discovery.blends import blended_values
from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.windows import (
    MOST_VALUES,
    codes,
    refuse_fractions,
    spread,
    strips,
)
from lightning_seg.data.reading.image_files import is_paletted, read_label
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.tiff import is_raster, no_data_value
from lightning_seg.errors import InputError

_PALETTE_GAP = 32  # classes that a set of masks may lack
_READ_MASKS = 5000
_GREY = 0x010101  # times a number is its grey as 0xRRGGBB


def find_classes(
    masks: Sequence[Path], names: Sequence[str] = (), ignored: Sequence[int] = ()
) -> Findings:
    """Return the settings that decode masks: classes and their values, and ignored values.

    Args:
        masks: The masks; of more than 5000, as many are read, spread evenly.
        names: Names of the classes, if known.
        ignored: Numbers of unlabelled pixels, or the greys of masks of colours, if known.

    Raises:
        InputError: Values are not those of classes, or not as many as names.
    """
    findings = Findings()
    if len(masks) > _READ_MASKS:
        findings.remarks.append(
            f"Of {len(masks)} masks, {_READ_MASKS} were read. If others hold further classes, name "
            "all: --classes."
        )
        masks = spread(masks, _READ_MASKS)
    bands = find_bands(masks, ignored, findings)
    if bands:
        add_bands(bands, masks[0], names, ignored, findings)
        return findings
    pixels, in_colors = _values(masks)
    void = _ignored(pixels, in_colors, masks, ignored, findings)
    paletted = is_paletted(masks[0])
    many = len(pixels) > (256 if not in_colors else MOST_VALUES) or _is_blurred(pixels)
    blends: set[int] = set()
    if many:
        blends = {value for value, count in pixels.items() if count < 0.005 * pixels.total()}
    elif in_colors or not _are_counted(sorted(pixels.keys() - set(void)), paletted):
        blends = blended_values(pixels, _parts(masks, in_colors), in_colors)
    if many or blends:
        pixels = _main_values(pixels, blends.difference(void), masks[0], findings)
    if in_colors:
        _add_colors(pixels, void, findings)
    else:
        _add_numbers(pixels, paletted, void, bool(ignored), findings)
    _add_names(names, findings)
    return findings


def _values(masks: Sequence[Path]) -> tuple[Counter[int], bool]:
    """Return the pixels of each number, or of each colour as 0xRRGGBB, and if they are colours."""
    try:
        return _count(masks, in_colors=False), False
    except InputError as error:
        if "is a colour label" not in str(error):
            raise
    return _count(masks, in_colors=True), True


def _count(masks: Sequence[Path], in_colors: bool) -> Counter[int]:
    pixels: Counter[int] = Counter()
    for part in _parts(masks, in_colors):
        values, counts = np.unique(part, return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(pixels) > 100_000:
            break
    return pixels


def _parts(masks: Sequence[Path], in_colors: bool) -> Iterator[np.ndarray]:
    """Yield masks, rasters in strips, as numbers or 0xRRGGBB (H, W)."""
    for path in masks:
        for window in strips(path):
            part = read_label(path, in_colors, window)
            refuse_fractions(path, part)
            yield codes(part) if in_colors else part


def _is_blurred(pixels: Counter[int]) -> bool:
    """Return whether few values hold nearly all pixels, and many others the rest."""
    few = sum(count for _, count in pixels.most_common(8))
    return len(pixels) > MOST_VALUES and few > 0.9 * pixels.total()


def _main_values(
    pixels: Counter[int], blends: set[int], example: Path, findings: Findings
) -> Counter[int]:
    main = Counter({value: count for value, count in pixels.items() if value not in blends})
    if not 2 <= len(main) <= MOST_VALUES or main.total() < 0.8 * pixels.total():
        raise InputError(
            f"The masks, such as {example}, hold {len(pixels)} different values, so they are not "
            "masks of classes. Name the masks' folder (--masks) or ending (--mask_suffix)."
        )
    findings.settings["unknown"] = "nearest"
    findings.remarks.append(
        f"{1 - main.total() / pixels.total():.1%} of the masks' pixels have blended values: they "
        "are taken for the nearest class (unknown: nearest)."
    )
    return main


def _ignored(
    pixels: Counter[int],
    in_colors: bool,
    masks: Sequence[Path],
    given: Sequence[int],
    findings: Findings,
) -> list[int]:
    """Return the ignored values: those that are given, or else negative and no data in headers."""
    scale = _GREY if in_colors else 1
    for number in given:
        if in_colors and number * scale not in pixels:
            raise InputError(
                f"--ignored {number}: the masks are colours, and none is {[number] * 3}. Give "
                "another grey, or write the colour as ignored in the file that init writes."
            )
    headers = [no_data_value(path) for path in masks if is_raster(path)]
    tagged = {int(value) for value in headers if value is not None and value.is_integer()}
    # GDAL's tools often call black, which is a class, no data; 255 is ignored beside others.
    void = sorted(value for value in tagged - {0, IGNORE_INDEX} if value * scale in pixels)
    void = void if len(pixels) - len(void) > 1 else []
    for value in sorted(tagged):
        if given or value * scale not in pixels:
            continue
        if value in void:
            findings.remarks.append(f"{value} is ignored: the masks' header says it is no data.")
        elif value != IGNORE_INDEX or len(pixels) == 2:
            findings.remarks.append(
                f"{value} is taken for a class, although the masks' header says it is no data; "
                f"--ignored {value} ignores it."
            )
    if given:
        return [number * scale for number in given]
    return sorted({*(value for value in pixels if value < 0), *(value * scale for value in void)})


def _add_colors(pixels: Counter[int], ignored: Sequence[int], findings: Findings) -> None:
    colors = [_color(code) for code in sorted(pixels) if code not in ignored]
    if ignored:
        findings.settings["ignored"] = [list(_color(code)) for code in ignored]
    known = {color: name for name, color in ISPRS_CLASSES.items()}
    others = [color for color in colors if color not in known]
    if len(colors) - len(others) >= 3 and others in ([], [(0, 0, 0)]):
        found = [color for color in known if color in colors]
        findings.settings |= {
            "class_names": [known[color] for color in found],
            "palette": [list(color) for color in found],
        }
        findings.remarks.append("Colours are those of ISPRS 2D semantic labelling.")
        if others:
            findings.settings.setdefault("ignored", []).append([0, 0, 0])
            findings.remarks.append("Black is ignored there.")
        return
    findings.settings["palette"] = [list(color) for color in colors]


def _color(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255


def _are_counted(values: Sequence[int], paletted: bool) -> bool:
    """Return whether values number classes from 0 or 1 on, perhaps beside 255.

    Palettes number their classes, also those that no mask holds, but leave no large gaps.
    """
    without_255 = [value for value in values if value != IGNORE_INDEX]
    most = 2 * len(without_255) + (_PALETTE_GAP if paletted else 0)
    return len(without_255) > 1 and max(without_255) < most


def _add_numbers(
    pixels: Counter[int], paletted: bool, ignored: list[int], given: bool, findings: Findings
) -> None:
    settings, remarks = findings.settings, findings.remarks
    values = sorted(value for value in pixels if value not in ignored)
    counted = _are_counted(values, paletted)
    highest = max((value for value in values if value != IGNORE_INDEX), default=0)
    if counted and values[0] == 1:
        settings["palette"] = list(range(1, highest + 1))
        absent = "0 is ignored" if 0 in ignored else "No mask holds 0"
        remarks.append(f"{absent}: classes are numbered from 1 on.")
    elif counted:
        settings["num_classes"] = highest + 1
    else:
        settings["palette"] = values
    if counted and IGNORE_INDEX in values and not given:
        ignored = [*ignored, IGNORE_INDEX]
        remarks.append("255 is taken for ignored pixels.")
    elif counted and not ignored:
        remarks.append("No value is ignored; if one means unlabelled, give it: --ignored NUMBER.")
    elif not counted and IGNORE_INDEX in values and len(values) > 2:
        remarks.append("255 is taken for a class; --ignored 255 ignores it.")
    if ignored:
        settings["ignored"] = ignored


def _add_names(names: Sequence[str], findings: Findings) -> None:
    settings = findings.settings
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
    palette = settings.get("palette", [])
    if palette and isinstance(palette[0], list):
        pairs = [f"{name} {color}" for name, color in zip(names, palette, strict=True)]
        findings.remarks.append(
            f"Colours take the names in this order: {', '.join(pairs)}. Sort the palette in the "
            "file if it is another."
        )
