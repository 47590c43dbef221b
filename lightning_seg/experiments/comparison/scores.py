"""Scores of summed counts: the figures that `BoundaryMetrics` has, for many sums at once."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REGIONS = ("intersection", "truth", "predicted")
BANDS = ("boundary_intersection", "boundary_union")
CONTOURS = (
    "contour_predicted",
    "contour_predicted_matched",
    "contour_truth",
    "contour_truth_matched",
)
# The boundary F of an image in steps of 2^-32, so that sums are whole numbers and exact.
_ONE = 2.0**32


@dataclass(frozen=True)
class Scale:
    """Names of what is counted and scored.

    Args:
        classes: K classes.
        merged: Merged and pooled classes, which stand beside them.
        widths: Of trimaps in pixels, ascending.
        excluded: Classes that are left out of means.
    """

    classes: tuple[str, ...]
    merged: tuple[str, ...]
    widths: tuple[int, ...]
    excluded: tuple[str, ...]

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """What is counted: the columns of the counts' file, then two that follow from them."""
        parts = ("intersection", "union")
        trimaps = [f"trimap_{part}/{w}" for w in self.widths for part in parts]
        return (*REGIONS, *BANDS, *CONTOURS, *trimaps, "contour_score", "contour_present")

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """What is scored, by the names of ``metrics.json``."""
        return measures(self.widths)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What each score is of: ``mean`` over the classes, then each class."""
        return ("mean", *self.classes, *self.merged)


def measures(widths: tuple[int, ...]) -> tuple[str, ...]:
    """All measures with trimaps of these widths."""
    trimaps = (f"trimap_iou/{width}" for width in widths)
    return ("iou", "f1", "boundary_iou", "boundary_f", *trimaps, "accuracy")


def contour_sums(contours: Array) -> Array:
    """Boundary F of each image and class in whole steps, and 1 where there is one.

    Args:
        contours: Counts (N, 4, Q) in the order of `CONTOURS`.

    Returns:
        (N, 2, Q).
    """
    predicted, hit, truth, found = np.moveaxis(contours, 1, 0)
    present = predicted + truth > 0
    precision = _share(hit, predicted)
    recall = _share(found, truth)
    both = precision + recall
    score = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return np.stack([np.round(score * _ONE) * present, present.astype(float)], axis=1)


def _share(part: Array, whole: Array) -> Array:
    """1 where there is no contour: what the other map has is then counted by the other share."""
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)


def scores(sums: Array, scale: Scale) -> Array:
    """All measures of counts that were summed over images.

    Args:
        sums: (..., C, Q), rows as in `Scale.rows`, columns the classes and the merged ones.
        scale: Their names.

    Returns:
        (..., M, 1 + Q), of M measures the mean over the classes that have a value and are not
        excluded, then each class's; NaN where there is none.
    """
    count = dict(zip(scale.rows, np.moveaxis(sums, -2, 0), strict=True))
    right, truth, predicted = (count[name] for name in REGIONS)
    by_class = {
        "iou": _ratio(right, truth + predicted - right),
        "f1": _ratio(2 * right, truth + predicted),
        "boundary_iou": _ratio(*(count[name] for name in BANDS)),
        "boundary_f": _ratio(count["contour_score"] / _ONE, count["contour_present"]),
    }
    for width in scale.widths:
        pair = (count[f"trimap_{part}/{width}"] for part in ("intersection", "union"))
        by_class[f"trimap_iou/{width}"] = _ratio(*pair)
    # Of the classes together alone: merged ones count the same pixels again.
    own = slice(len(scale.classes))
    by_class["accuracy"] = np.full_like(right, np.nan)
    kept = [k for k, name in enumerate(scale.classes) if name not in scale.excluded]
    rows = []
    for name in scale.measures:
        values = by_class[name]
        if name == "accuracy":
            mean = _ratio(right[..., own].sum(axis=-1), truth[..., own].sum(axis=-1))
        else:
            mean = nanmean(values[..., kept], axis=-1)
        rows.append(np.concatenate([mean[..., None], values], axis=-1))
    return np.stack(rows, axis=-2)


def nanmean(values: Array, axis: int) -> Array:
    """Mean of what is not NaN, NaN where all is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an empty mean is NaN, as it should be
        return np.nanmean(values, axis=axis)


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
