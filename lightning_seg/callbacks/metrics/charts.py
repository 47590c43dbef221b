"""Charts of a whole dataset: scores by band width, confusion matrix, shares of causes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.picture_sheet import new_figure

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Mapping[int, NDArray[np.float64]]

# With more classes, line colours or numbers in cells are no longer legible.
_MOST_LINES, _MOST_NUMBERS = 20, 25


def draw_curves(
    title: str,
    curves: Mapping[str, tuple[str, Curve]],
    means: Mapping[str, Mapping[int, float]],
    class_names: Sequence[str],
) -> "Figure":
    """Draw one panel per score: one line per class, and the mean in black.

    Args:
        title: Title of the figure.
        curves: By score, the label of the x axis and the values (K,) by width in pixels.
        means: By score, the mean by width.
        class_names: Names of the K classes.
    """
    from matplotlib.lines import Line2D

    figure = new_figure(4.2 * len(curves) + 2.2, 4.4, "constrained")
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    shown = _line_colors(len(class_names))
    for axis, (name, (along, curve)) in zip(axes, curves.items(), strict=True):
        _panel(axis, name, along, curve, means[name], shown)
    axes[0].set_ylabel("score")
    lines = [Line2D([], [], color="black", linewidth=3, marker="o", label="mean")]
    lines += [
        Line2D([], [], color=color, linewidth=1.2, label=name)
        for color, name in zip(shown, class_names)
    ]
    figure.legend(handles=lines, loc="outside right center", frameon=False, fontsize=10)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return figure


def _line_colors(count: int) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if count > _MOST_LINES:
        return []
    colors = colormaps["tab10" if count <= 10 else "tab20"]
    return [to_hex(colors(k)) for k in range(count)]


def _panel(
    axis: "Axes",
    name: str,
    along: str,
    curve: Curve,
    mean: Mapping[int, float],
    colors: Sequence[str],
) -> None:
    widths = sorted(curve)
    table = np.stack([curve[width] for width in widths])
    for k, color in enumerate(colors):
        axis.plot(widths, table[:, k], color=color, linewidth=1.2, marker=".")
    axis.plot(widths, [mean[w] for w in widths], color="black", linewidth=3, marker="o")
    axis.set_title(name, fontsize=12)
    axis.set_xlabel(along)
    axis.set_xticks(widths)
    axis.set_ylim(-0.02, 1.02)
    axis.grid(True, color="0.9")


def draw_confusion(
    title: str, confusion: NDArray[np.int64], class_names: Sequence[str]
) -> "Figure":
    """Draw a confusion matrix, normalised by rows.

    Args:
        title: Title of the figure.
        confusion: Pixel counts (K, K); rows are the ground truth.
        class_names: Names of the K classes.
    """
    count = len(class_names)
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.full(confusion.shape, np.nan), where=totals > 0)
    side = 3.0 + 0.62 * min(count, _MOST_NUMBERS)
    figure = new_figure(side + 1.2, side, "constrained")
    axis = figure.add_subplot()
    axis.set_facecolor("0.8")  # rows of classes that the ground truth lacks
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= _MOST_NUMBERS:
        _write_shares(axis, shares)
    axis.set_xticks(range(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(count), class_names)
    axis.set_xlabel("predicted as")
    axis.set_ylabel("ground truth")
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("share of the true class's pixels (grey: class absent)")
    pixels = int(confusion.sum())
    right = confusion.trace() / pixels if pixels else float("nan")
    axis.set_title(f"{title}: {right:.1%} of {pixels:,} pixels right", fontsize=13)
    return figure


def draw_shares(
    title: str, rows: Sequence[str], parts: Sequence[str], shares: NDArray[np.float64]
) -> "Figure":
    """Draw one horizontal bar per row, of parts that sum to 1.

    Args:
        title: Title of the figure.
        rows: Names of the rows, from the top.
        parts: Names of the parts.
        shares: Shares (rows, parts).
    """
    from matplotlib import colormaps

    figure = new_figure(10, 1.6 + 0.6 * len(rows), "constrained")
    axis = figure.add_subplot()
    left = np.zeros(len(rows))
    for number, (name, share) in enumerate(zip(parts, shares.T, strict=True)):
        bars = axis.barh(
            rows, share, left=left, label=name.replace("_", " "), color=colormaps["tab10"](number)
        )
        texts = [f"{part:.0%}" if part >= 0.03 else "" for part in share]
        axis.bar_label(bars, texts, label_type="center", color="white", fontsize=9)
        left += share
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the wrong pixels")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.invert_yaxis()
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    figure.legend(loc="outside right center", frameon=False, fontsize=10)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    return figure


def _write_shares(axis: "Axes", shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            color = "white" if share > 0.55 else "black"
            text = f"{share:.0%}"
            axis.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
