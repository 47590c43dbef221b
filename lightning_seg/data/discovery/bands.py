"""Masks with a band for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_seg.data.discovery.findings import Findings
from lightning_seg.data.discovery.windows import refuse_fractions, strips
from lightning_seg.data.reading.image_files import read_bands
from lightning_seg.data.reading.labels import IGNORE_INDEX
from lightning_seg.data.reading.tiff import band_names, has_alpha, is_raster
from lightning_seg.errors import InputError


@dataclass
class Bands:
    """Values of masks with a band for each class, and whether a pixel has several classes."""

    count: int
    values: set[int]
    several: bool


def find_bands(masks: Sequence[Path], ignored: Sequence[int], findings: Findings) -> Bands | None:
    """Return the bands of masks with a band of absent and present for each class, else None.

    Such bands hold 0 and 1, and perhaps 255 or ``ignored``. They differ somewhere, unlike those of
    a grey mask that was saved with three channels. Files with an alpha channel, in which 1 makes
    no sense, do not count, nor bands of 0 and 255 if there are three, or if 255 is among
    ``ignored``.
    """
    allowed = {0, 1, IGNORE_INDEX, *ignored}
    values: set[int] = set()
    counts: set[int] = set()
    last: set[int] = set()  # values of the last band
    differ = False
    several = dict.fromkeys((1, IGNORE_INDEX), False)  # whether a pixel holds a value twice
    known: set[int] = set()  # bands that do not hold 255 alone
    for path in masks:
        for window in strips(path):
            stored = read_bands(path, window)
            refuse_fractions(path, stored)
            counts.add(stored.shape[2])
            if len(counts) > 1 or stored.shape[2] < 2:
                return None
            values |= set(np.unique(stored).tolist())
            if not values <= allowed:
                return None
            last |= set(np.unique(stored[..., -1]).tolist())
            differ = differ or bool((stored != stored[..., :1]).any())
            for value in several:
                several[value] |= bool(((stored == value).sum(axis=2) > 1).any())
            known |= set(np.flatnonzero((stored != IGNORE_INDEX).any(axis=(0, 1))).tolist())
    (count,) = counts
    present = 1 if 1 in values else IGNORE_INDEX
    in_colors = present != 1 and (count == 3 or not is_raster(masks[0]))
    alpha = has_alpha(masks[0]) if is_raster(masks[0]) else count in (2, 4)
    alpha = alpha and 1 not in last
    if alpha and is_raster(masks[0]) and last == {0, IGNORE_INDEX}:
        findings.remarks.append(
            "The masks' last band is taken for opacity, as their header says, and not read. If "
            f"each band is a class, set multi_label: true, num_classes: {count} and palette: "
            f"[0, {present}] in the file."
        )
    unsure = in_colors or alpha or (present != 1 and IGNORE_INDEX in ignored)
    if unsure or not differ or len(known) < count:
        return None
    return Bands(count, values, several[present])


def add_bands(
    bands: Bands, example: Path, names: Sequence[str], ignored: Sequence[int], findings: Findings
) -> None:
    """Add the settings of masks with a band for each class."""
    settings, remarks = findings.settings, findings.remarks
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
    taken = f"Each of the masks' {bands.count} bands is taken for a class (multi_label)"
    if bands.several:
        remarks.append(f"{taken}, and pixels may have several.")
    else:
        remarks.append(
            f"{taken}, though no pixel has several. Save class numbers to train one label per "
            "pixel: docs/own_data.md, 'Several labels per pixel', has the line."
        )
    if 1 not in bands.values:
        settings["palette"] = [0, IGNORE_INDEX]
        remarks.append("255 is taken for the presence of a class.")
    if ignored:
        settings["ignored"] = list(ignored)
    elif {1, IGNORE_INDEX} <= bands.values:
        settings["ignored"] = [IGNORE_INDEX]
        remarks.append("255 is taken for ignored pixels.")
