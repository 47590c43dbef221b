"""Figures of a comparison: curves over epochs and over the band width, and differences."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_seg.experiments.comparison.compare import Comparison, Result
from lightning_seg.experiments.comparison.convergence import shared_curve
from lightning_seg.experiments.comparison.names import label

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette; it repeats with dashed lines.
_COLORS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vPX"
_CURVES = ("iou", "boundary_iou")
_DIFFERENCES = ("iou", "f1", "boundary_iou", "boundary_f")
_PANEL, _HEIGHT, _ROW = 5.2, 4.2, 0.3
_SHIFT = 0.09  # pixels of the band's width
_SWEPT = re.compile(r"(?P<setting>[\w.]+)[ =](?P<value>[-+]?\d+(\.\d*)?(e[-+]?\d+)?)")
OVER_SETTING = ("boundary_iou", "accuracy")

Style = Mapping[str, object]


def draw(comparison: Comparison) -> dict[str, bytes]:
    """Return the figures as PNG files by name, without those that lack data."""
    results = comparison.results
    styles = {r.method.name: _style(i) for i, r in enumerate(results)}
    figures = {
        "curves": _curves(results, styles),
        "trimap": _trimap(comparison, styles),
        "differences": _differences(comparison, styles),
    }
    figures |= _over_setting(comparison)
    return {name: _png(figure) for name, figure in figures.items() if figure is not None}


def _over_setting(comparison: Comparison) -> "dict[str, Figure | None]":
    """Draw scores over a swept number, if at least three methods are named SETTING NUMBER."""
    swept = {r.method.name: _SWEPT.fullmatch(r.method.name) for r in comparison.results}
    matches = [match for match in swept.values() if match]
    if len(matches) < 3 or len({match["setting"] for match in matches}) > 1:
        return {}
    figures: dict[str, Figure | None] = {}
    for measure in OVER_SETTING:
        if measure not in comparison.measures:
            continue
        row = comparison.measures.index(measure)
        points = [
            (float(match["value"]), result.figures[:, row, 0].tolist())
            for result in comparison.results
            if (match := swept[result.method.name])
        ]
        if all(math.isfinite(score) for _, scores in points for score in scores):
            figure = draw_setting_curve(points, matches[0]["setting"], label(measure))
            figures[f"setting_{measure}"] = figure
    return figures


def draw_setting_curve(
    points: Sequence[tuple[float, Sequence[float]]], setting: str, score: str
) -> "Figure":
    """Plot the mean over seeds with a band of one standard deviation, and every run as a dot.

    Similar to figure 8 of Audebert et al. (2019), accuracy over the weight of the distance loss.
    The band is the sample standard deviation (divisor n - 1), absent for a single seed. If the
    largest value is at least 20 times the smallest positive one, the axis is symlog.

    Args:
        points: Pairs of a value and the scores of its seeds, in any order.
        setting: Label of the x axis.
        score: Label of the y axis.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    points = sorted(points)
    values = np.array([value for value, _ in points])
    means = np.array([np.mean(scores) for _, scores in points])
    spreads = np.array([np.std(s, ddof=1) if len(s) > 1 else 0.0 for _, s in points])
    figure = _figure(6.4, 4.4)
    axes = figure.add_subplot()
    if spreads.any():
        axes.fill_between(
            values, means - spreads, means + spreads, color="tab:blue", alpha=0.2, linewidth=0,
            label="± one standard deviation",
        )  # fmt: skip
    axes.plot(values, means, color="tab:blue", marker="o", label="mean")
    dots = [(value, score) for value, scores in points for score in scores]
    axes.plot(*zip(*dots), ".", color="black", markersize=4, alpha=0.6, label="runs")
    positive = values[values > 0]
    if len(positive) and positive.max() >= 20 * positive.min() and values.min() >= 0:
        axes.set_xscale("symlog", linthresh=float(positive.min()))
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 12:
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel=setting, ylabel=score)
    axes.grid(color="0.92")
    axes.legend(frameon=False, fontsize="small")
    return figure


def _style(number: int) -> Style:
    count = len(_COLORS)
    return {
        "color": _COLORS[number % count],
        "linestyle": _LINES[number // count % len(_LINES)],
        "marker": _MARKERS[number % len(_MARKERS)],
    }


def _curves(results: Sequence[Result], styles: Mapping[str, Style]) -> "Figure | None":
    shown = {
        measure: {r.method.name: shared_curve(r.runs, measure) for r in results}
        for measure in _CURVES
    }
    shown = {m: curves for m, curves in shown.items() if any(len(c) > 1 for c in curves.values())}
    if not shown:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = _panels(len(shown), len(results))
    alpha = _alpha(results)
    for axis, (measure, curves) in zip(axes, shown.items(), strict=True):
        for name, curve in curves.items():
            _line(axis, list(curve), list(curve.values()), styles[name], alpha)
        axis.set_title(f"validation {label(measure)}", fontsize=12)
        axis.set_xlabel("epochs trained")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, results, styles)
    return figure


def _trimap(comparison: Comparison, styles: Mapping[str, Style]) -> "Figure | None":
    rows = [i for i, m in enumerate(comparison.measures) if m.startswith("trimap_iou/")]
    widths = comparison.widths
    if len(widths) < 2:
        return None
    results = comparison.results
    compared = [r for r in results if r.difference is not None]
    figure, axes = _panels(2 if compared else 1, len(results))
    for result in results:
        values = [result.figures[:, row, 0].tolist() for row in rows]
        _line(axes[0], widths, values, styles[result.method.name], _alpha(results))
    axes[0].set_title("trimap IoU", fontsize=12)
    for position, result in enumerate(compared):
        # Side by side, so intervals do not overlap.
        shift = _SHIFT * (position - (len(compared) - 1) / 2)
        _over_widths(axes[1], result, rows, [w + shift for w in widths], styles[result.method.name])
    for axis in axes:
        axis.set_xlabel("half-width of the band, px")
        axis.set_xticks(widths)
    if compared:
        axes[1].axhline(0, color="black", linewidth=1)
        suffix = ", 95 % interval" if comparison.has_intervals else ""
        axes[1].set_title(f"difference from the baseline{suffix}", fontsize=12)
    _legend(figure, results, styles, "seeds" if comparison.folds > 1 else "runs")
    return figure


def _over_widths(
    axis: "Axes", result: Result, rows: Sequence[int], along: Sequence[float], style: Style
) -> None:
    difference = result.difference
    assert difference is not None
    axis.plot(along, difference.mean[rows, 0], linewidth=1.5, markersize=5, **style)  # type: ignore[arg-type]
    bounds = (difference.low[rows, 0], difference.high[rows, 0])
    axis.vlines(along, *bounds, color=str(style["color"]), linewidth=1.5)


def _differences(comparison: Comparison, styles: Mapping[str, Style]) -> "Figure | None":
    compared = [r for r in comparison.results if r.difference is not None]
    measures = [m for m in _DIFFERENCES if m in comparison.measures]
    if not compared or not comparison.has_intervals:
        return None
    figure = _figure(3.0 * len(measures) + 2.2, 1.6 + _ROW * len(compared))
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        row = comparison.measures.index(measure)
        for position, result in enumerate(compared):
            _whisker(axis, result, row, position, styles[result.method.name])
        axis.axvline(0, color="black", linewidth=1)
        axis.set_title(label(measure), fontsize=12)
        axis.grid(True, axis="x", color="0.9")
        axis.locator_params(axis="x", nbins=5)
    axes[0].set_yticks(range(len(compared)), [r.method.name for r in compared])
    axes[0].set_ylim(len(compared) - 0.5, -0.5)
    baselines = {r.difference.baseline for r in compared if r.difference}
    named = baselines.pop() if len(baselines) == 1 else "the baseline"
    figure.supxlabel(f"difference from {named}, 95 % interval", fontsize=11)
    return figure


def _whisker(axis: "Axes", result: Result, row: int, position: int, style: Style) -> None:
    difference = result.difference
    assert difference is not None
    color, marker = str(style["color"]), str(style["marker"])
    bounds = (difference.low[row, 0], difference.high[row, 0])
    axis.plot(bounds, (position, position), color=color, linewidth=2.5, solid_capstyle="butt")
    axis.plot([difference.mean[row, 0]], [position], color=color, marker=marker, markersize=7)


def _alpha(results: Sequence[Result]) -> float:
    """Return a lower opacity for the overlapping bands of many methods."""
    return 0.16 if len(results) <= 3 else 0.08


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _panels(count: int, methods: int) -> "tuple[Figure, list[Axes]]":
    figure = _figure(_PANEL * count, _HEIGHT + _ROW * math.ceil(methods / 2))
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.grid(True, color="0.9")
    return figure, axes


def _line(
    axis: "Axes",
    along: Sequence[int],
    values: Sequence[Sequence[float]],
    style: Style,
    alpha: float,
) -> None:
    """Draw the mean over runs and a band from minimum to maximum."""
    if not along:
        return
    means = [sum(each) / len(each) for each in values]
    every = max(1, len(along) // 8)
    axis.plot(along, means, linewidth=2, markersize=5, markevery=every, **style)  # type: ignore[arg-type]
    if len(values[0]) > 1:
        low, high = ([f(each) for each in values] for f in (min, max))
        axis.fill_between(along, low, high, color=str(style["color"]), alpha=alpha, linewidth=0)


def _legend(
    figure: "Figure", results: Sequence[Result], styles: Mapping[str, Style], unit: str = "runs"
) -> None:
    from matplotlib.lines import Line2D

    lines = []
    several = False
    for result in results:
        name = result.method.name
        count = len(result.runs) if unit == "runs" else len(result.figures)
        several = several or count > 1
        text = f"{name} ({count} {unit})" if count > 1 else name
        lines.append(Line2D([], [], linewidth=2, label=text, **styles[name]))  # type: ignore[arg-type]
    longest = max(len(str(line.get_label())) for line in lines)
    columns = 1 if longest > 45 else 2
    figure.legend(
        handles=lines, loc="outside lower center", ncols=columns, frameon=False, fontsize=10
    )
    if several:
        about = f"lines: means over {unit}; bands: from the lowest {unit[:-1]} to the highest"
        figure.suptitle(about, fontsize=9, color="0.35")


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    # Omit the library version, so the same figure gives the same bytes.
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
