"""A score over a setting that was swept, such as the weight of a loss."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_seg.errors import InputError

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_WIDE = 20
_MOST_TICKS = 12


def draw_setting_curve(
    points: Iterable[tuple[float, Sequence[float]]],
    setting: str,
    score: str,
    title: str = "",
    baseline: Sequence[float] | None = None,
    baseline_name: str = "baseline",
) -> "Figure":
    """The mean over seeds with a band of one standard deviation, and every run as a dot.

    As figure 8 of Audebert et al. (2019), the accuracy over the weight of the distance loss. The
    band is the sample standard deviation (divisor n - 1), and missing where there is one seed.
    Values of which the largest is 20 times the smallest above 0, or more, stand on a logarithmic
    scale that is linear next to 0.

    Args:
        points: The setting's value, and the scores of its seeds, in any order.
        setting: What is along the x axis.
        score: What is along the y axis.
        title: Stands above all.
        baseline: Scores of runs without the setting, drawn across in grey.
        baseline_name: What these are called.

    Raises:
        InputError: There is no point, one without scores, two of the same value, or a number that
            is not finite.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_value = _by_value(points, setting)
    values = np.array(list(by_value))
    means = np.array([np.mean(scores) for scores in by_value.values()])
    spreads = np.array([_spread(scores) for scores in by_value.values()])
    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if baseline:
        middle, spread = float(np.mean(baseline)), _spread(baseline)
        name = f"{baseline_name} ({len(baseline)} run{'s' if len(baseline) > 1 else ''})"
        axes.axhspan(middle - spread, middle + spread, color="0.5", alpha=0.15, linewidth=0)
        axes.axhline(middle, color="0.45", linestyle="--", label=name)
    if spreads.any():
        axes.fill_between(
            values, means - spreads, means + spreads, color="tab:blue", alpha=0.2, linewidth=0,
            label="± one standard deviation",
        )  # fmt: skip
    axes.plot(values, means, color="tab:blue", marker="o", label="mean")
    dots = [(value, one) for value, scores in by_value.items() for one in scores]
    axes.plot(*zip(*dots), ".", color="black", markersize=4, alpha=0.6, label="runs")
    _set_scale(axes, values)
    axes.set_xlabel(setting)
    axes.set_ylabel(score)
    axes.set_title(title)
    axes.grid(color="0.92")
    axes.legend(frameon=False, fontsize="small")
    return figure


def _by_value(
    points: Iterable[tuple[float, Sequence[float]]], setting: str
) -> dict[float, list[float]]:
    """Scores by value, the smallest first."""
    found: dict[float, list[float]] = {}
    for value, scores in points:
        if value in found:
            raise InputError(f"{setting} {value:g} stands twice among the points. Join its scores.")
        if not scores:
            raise InputError(f"{setting} {value:g} has no score. Leave it out.")
        if not all(map(math.isfinite, (value, *scores))):
            raise InputError(
                f"{setting} {value:g} has the scores {list(scores)}, which must be finite numbers."
            )
        found[value] = list(scores)
    if not found:
        raise InputError(f"There is no value of {setting} to draw. Give at least one.")
    return dict(sorted(found.items()))


def _spread(scores: Sequence[float]) -> float:
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0


def _set_scale(axes: "Axes", values: np.ndarray) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    positive = values[values > 0]
    if len(positive) and positive.max() >= _WIDE * positive.min() and values.min() >= 0:
        axes.set_xscale("symlog", linthresh=float(positive.min()))
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
