"""Plot of a score over a swept setting, such as the weight of a loss."""

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
    """Plot the mean over seeds with a band of one standard deviation, and every run as a dot.

    Similar to figure 8 of Audebert et al. (2019), accuracy over the weight of the distance loss.
    The band is the sample standard deviation (divisor n - 1), absent for a single seed. If the
    largest value is at least 20 times the smallest positive one, the axis is symlog.

    Args:
        points: Pairs of a value and the scores of its seeds, in any order.
        setting: Label of the x axis.
        score: Label of the y axis.
        title: Title of the figure.
        baseline: Scores of runs without the setting, drawn as a grey band.
        baseline_name: Label of the baseline.
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
    dots = [(value, score) for value, scores in by_value.items() for score in scores]
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
    """Return the scores by value, in ascending order."""
    by_value: dict[float, list[float]] = {}
    for value, scores in points:
        if value in by_value:
            raise InputError(f"{setting} {value:g} stands twice among the points. Join its scores.")
        if not scores:
            raise InputError(f"{setting} {value:g} has no score. Leave it out.")
        if not all(map(math.isfinite, (value, *scores))):
            raise InputError(
                f"{setting} {value:g} has the scores {list(scores)}, which must be finite numbers."
            )
        by_value[value] = list(scores)
    if not by_value:
        raise InputError(f"There is no value of {setting} to draw. Give at least one.")
    return dict(sorted(by_value.items()))


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
