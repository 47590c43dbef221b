"""The classes of masks, by their values."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.discovery.bands import add_bands, find_bands
from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.windows import codes, first_window, spread, strips
from lightning_seg.data.reading.image_files import is_paletted, read_label
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.errors import InputError

_PALETTE_GAP = 32  # classes that a set of masks may lack
_MOST_VALUES = 64  # of masks; photos have more
_READ_MASKS = 500
_READ_IMAGES = 8


def find_classes(
    masks: Sequence[Path], names: Sequence[str] = (), ignored: Sequence[int] = ()
) -> Findings:
    """Return the settings that decode masks: classes and their values, and ignored values.

    Args:
        masks: The masks; of more than 500, as many are read, spread evenly.
        names: Names of the classes, if known.
        ignored: Numbers of unlabelled pixels, if known.

    Raises:
        InputError: Values are not those of classes, or not as many as names.
    """
    findings = Findings()
    if len(masks) > _READ_MASKS:
        findings.remarks.append(f"Of {len(masks)} masks, {_READ_MASKS} were read.")
        masks = spread(masks, _READ_MASKS)
    # A few tell at once that most masks, which have one band or colours, are none of bands.
    bands = find_bands(spread(masks, _READ_IMAGES), ignored) and find_bands(masks, ignored)
    if bands:
        add_bands(bands, masks[0], names, ignored, findings)
        return findings
    pixels, in_colors = _values(masks)
    if len(pixels) > (256 if not in_colors else _MOST_VALUES) or _is_blurred(pixels):
        pixels = _main_values(pixels, masks[0], findings)
    if in_colors:
        _add_colors(pixels, findings)
    else:
        _add_numbers(pixels, is_paletted(masks[0]), ignored, findings)
    _add_names(names, findings)
    return findings


def _values(masks: Sequence[Path]) -> tuple[Counter[int], bool]:
    """Return the pixels of each number, or of each colour as 0xRRGGBB, and if they are colours."""
    in_colors = any(_is_colored(path) for path in masks[:_READ_IMAGES])
    pixels: Counter[int] = Counter()
    for path in masks:
        for window in strips(path):
            part = read_label(path, in_colors, window)
            if not np.issubdtype(part.dtype, np.integer):
                raise InputError(
                    f"{path}: the mask holds {part.dtype}, but class numbers are whole. Save the "
                    "masks with 8 or 16 bits."
                )
            values, counts = np.unique(codes(part) if in_colors else part, return_counts=True)
            pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(pixels) > 100_000:
            break
    return pixels, in_colors


def _is_colored(path: Path) -> bool:
    try:
        read_label(path, colors=False, window=first_window(path))
    except InputError as error:
        if "is a colour label" in str(error):
            return True
        raise
    return False


def _is_blurred(pixels: Counter[int]) -> bool:
    """Return whether few values hold nearly all pixels, and many others the rest."""
    few = sum(count for _, count in pixels.most_common(8))
    return len(pixels) > _MOST_VALUES and few > 0.9 * pixels.total()


def _main_values(pixels: Counter[int], example: Path, findings: Findings) -> Counter[int]:
    main = Counter({v: n for v, n in pixels.items() if n >= 0.005 * pixels.total()})
    if not 2 <= len(main) <= _MOST_VALUES or main.total() < 0.8 * pixels.total():
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


def _add_colors(pixels: Counter[int], findings: Findings) -> None:
    colors = [(code >> 16, code >> 8 & 255, code & 255) for code in sorted(pixels)]
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
            findings.settings["ignored"] = [[0, 0, 0]]
            findings.remarks.append("Black is ignored there.")
        return
    findings.settings["palette"] = [list(color) for color in colors]


def _add_numbers(
    pixels: Counter[int], paletted: bool, given: Sequence[int], findings: Findings
) -> None:
    settings, remarks = findings.settings, findings.remarks
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
