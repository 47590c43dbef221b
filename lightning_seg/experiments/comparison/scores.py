"""Scores of summed counts: those of `BoundaryMetrics`, vectorised over many sums."""

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
# Boundary F of an image in steps of 2^-32, so sums are integers and exact.
_ONE = 2.0**32


@dataclass(frozen=True)
class Scale:
    """Names of counts and scores.

    Args:
        classes: K classes.
        merged: Merged and pooled classes, listed in addition.
        widths: Trimap widths in pixels, ascending.
        excluded: Classes excluded from means.
        multi_label: Pixels have several labels. Their accuracy needs true negatives, which are not
            counted.
    """

    classes: tuple[str, ...]
    merged: tuple[str, ...]
    widths: tuple[int, ...]
    excluded: tuple[str, ...]
    multi_label: bool = False

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """Names of counts: the columns of the counts file, then two derived ones."""
        parts = ("intersection", "union")
        trimaps = [f"trimap_{part}/{w}" for w in self.widths for part in parts]
        return (*REGIONS, *BANDS, *CONTOURS, *trimaps, "contour_score", "contour_present")

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Names of scores, as in ``metrics.json``."""
        names = measures(self.widths)
        return tuple(name for name in names if not (self.multi_label and name == "accuracy"))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of score columns: ``mean`` over the classes, then each class."""
        return ("mean", *self.classes, *self.merged)


def measures(widths: tuple[int, ...]) -> tuple[str, ...]:
    """Return all measures with trimaps of these widths."""
    trimaps = (f"trimap_iou/{width}" for width in widths)
    return ("iou", "f1", "boundary_iou", "boundary_f", *trimaps, "accuracy")


def contour_sums(contours: Array) -> Array:
    """Return the fixed-point boundary F of each image and class, and 1 where it is defined.

    Args:
        contours: Counts (N, 4, Q) in the order of `CONTOURS`.

    Returns:
        (N, 2, Q).
    """
    predicted, predicted_hits, truth, truth_hits = np.moveaxis(contours, 1, 0)
    present = predicted + truth > 0
    precision = _share(predicted_hits, predicted)
    recall = _share(truth_hits, truth)
    both = precision + recall
    score = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return np.stack([np.round(score * _ONE) * present, present.astype(float)], axis=1)


def _share(part: Array, whole: Array) -> Array:
    """Divide, giving 1 if there is no contour; the other ratio then counts the errors."""
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)


def scores(sums: Array, scale: Scale) -> Array:
    """Return all scores of counts summed over images.

    Args:
        sums: (..., C, Q), rows as in `Scale.rows`, columns the classes and the merged ones.
        scale: Their names.

    Returns:
        (..., M, 1 + Q): for M measures, the mean over the classes with a value that are not
        excluded, then each class; NaN for missing values.
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
    # Over the original classes only: merged ones would count pixels twice.
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
    """Return the mean without NaNs, NaN if all are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN
        return np.nanmean(values, axis=axis)


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
