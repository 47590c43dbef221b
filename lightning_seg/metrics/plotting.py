"""Plots of metric values, in the style of torchmetrics."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torchmetrics.utilities.plot import plot_single_or_multi_val

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes

Value = Tensor | Sequence[Tensor] | None
# The figure (None if axes were passed in) and its axes; torchmetrics types them no further.
Plot = tuple[Any, Any]


def plot_named_rows(name: str, rows: Sequence[str], value: Tensor, ax: "Axes | None") -> Plot:
    """Plot the rows of a value, each as one line over the classes or as one point.

    Args:
        name: Name of the metric.
        rows: Names of the rows.
        value: (R,) or (R, K).
        ax: Axes to draw on; by default those of a new figure.
    """
    named = dict(zip(rows, value, strict=True))
    figure, axes = plot_single_or_multi_val(named, ax=ax, name=name)
    if value.ndim > 1:
        axes.set_xlabel("class")  # type: ignore[union-attr]
    return figure, axes


def plot_over_widths(
    name: str, widths: Sequence[int], value: Tensor, ax: "Axes | None", rows: Sequence[str] = ("",)
) -> Plot:
    """Plot scores in [0, 1] as curves over the band width.

    Args:
        name: Name of the metric.
        widths: W widths in pixels.
        value: (W,), or (W, K) for one curve per class; with R rows, either with a leading axis R.
        ax: Axes to draw on; by default those of a new figure.
        rows: Names of the rows.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots() if ax is None else (None, ax)
    order = sorted(range(len(widths)), key=lambda i: widths[i])
    by_row = value.detach().cpu().reshape(len(rows), len(widths), -1)[:, order]
    classes = by_row.shape[-1]
    for row, curves in zip(rows, by_row, strict=True):
        for k in range(classes):
            label = " ".join(part for part in (row, f"{k}" if classes > 1 else "") if part)
            axes.plot(sorted(widths), curves[:, k], marker="o", label=label or None)
    axes.set_xlabel("width, px")
    axes.set_ylabel(name)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(True)
    if len(rows) > 1 or classes > 1:
        axes.legend()
    return figure, axes
