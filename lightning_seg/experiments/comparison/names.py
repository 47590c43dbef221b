"""Display names of measures and formats of numbers."""

import math
from collections.abc import Sequence

_LABELS = {
    "iou": "IoU",
    "f1": "F1",
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
    "accuracy": "accuracy",
}
NONE = "–"
_SHOWN = 3


def label(measure: str) -> str:
    """Return the heading of a measure."""
    if measure.startswith("trimap_iou/"):
        return f"trimap IoU {measure.split('/')[1]} px"
    return _LABELS.get(measure, measure)


def labels(measures: Sequence[str]) -> str:
    """Join several measures for a sentence, with all trimaps as one."""
    start = "trimap_iou/"
    widths = [m.removeprefix(start) for m in measures if m.startswith(start)]
    names = [label(m) for m in measures if not m.startswith(start)]
    return ", ".join([*names, *([f"trimap IoU ({', '.join(widths)} px)"] if widths else [])])


def some(names: Sequence[object]) -> str:
    """Join the first three names, and count the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


def score(value: float, deviation: float = math.nan) -> str:
    """Format a score, with its deviation if there is one."""
    if math.isnan(value):
        return NONE
    return f"{value:.4f}" + ("" if math.isnan(deviation) else f" ± {deviation:.4f}")


def signed(value: float) -> str:
    """Format a difference with its sign."""
    return NONE if math.isnan(value) else f"{value:+.4f}".replace("-", "−")


def mean_of(values: Sequence[float]) -> float:
    """Return the mean, NaN for an empty sequence."""
    return sum(values) / len(values) if values else math.nan
