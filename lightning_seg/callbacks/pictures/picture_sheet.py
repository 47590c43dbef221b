"""Layout of pictures as a sheet: rows of cells with titles, colour scales and legends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.picture_maps import HATCH_DARK, HATCH_LIGHT, is_class
from lightning_seg.palette import Color

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

# Sizes in inches.
_CELL, _GAP, _BAR = 4.0, 0.12, 1.25
_TITLE, _HEADING, _LEGEND_LINE = 0.5, 0.36, 0.27
_LEGEND_ENTRY = 1.75
_LARGEST_SIDE = 1200


@dataclass
class Cell:
    """Cell with a title; ``show`` draws its content, ``scale`` the colour scale of its row."""

    title: str
    show: Callable[["Axes"], object]
    scale: Callable[["Axes"], object] | None = None


@dataclass
class Row:
    """Cells from left to right; None is an empty place."""

    cells: list[Cell | None] = field(default_factory=list)


def new_figure(width: float, height: float, layout: str = "none") -> "Figure":
    """Return an empty figure of this size in inches that can be rendered without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def draw_sheet(
    title: str,
    rows: Sequence[Row],
    legends: Sequence[Sequence["Patch"]],
    ratio: float,
    columns: int = 3,
) -> "Figure":
    """Draw rows of cells, with a title above and legends below.

    Args:
        title: Title of the sheet; may be empty.
        rows: Rows of at most ``columns`` cells.
        legends: Legends; each starts on a new line.
        ratio: Height of the images divided by their width.
        columns: Number of cells per row.
    """
    has_bar = any(cell and cell.scale for row in rows for cell in row.cells)
    sheet = _Sheet(
        cell_height=_CELL * float(np.clip(ratio, 0.3, 2.0)),
        rows=len(rows),
        columns=columns,
        bar=_BAR if has_bar else 0.0,
        legends=[legend for legend in legends if legend],
        title=_TITLE if title else 0.05,
    )
    figure = new_figure(sheet.width, sheet.height)
    for number, row in enumerate(rows):
        shown = [(column, cell) for column, cell in enumerate(row.cells) if cell is not None]
        for column, cell in shown:
            axis = figure.add_axes(sheet.cell(number, column))
            cell.show(axis)
            axis.set_title(cell.title, fontsize=12)
            _frame(axis)
        scale = next((cell.scale for _, cell in shown if cell.scale), None)
        if scale is not None:
            scale(figure.add_axes(sheet.color_bar(number)))
    title_height = 1 - 0.5 * sheet.title / sheet.height
    figure.suptitle(title, y=title_height, va="center", fontsize=15, fontweight="bold")
    for legend, bottom in zip(sheet.legends, sheet.legend_bottoms, strict=True):
        figure.legend(
            handles=legend, loc="lower center", bbox_to_anchor=(0.5, bottom / sheet.height),
            ncols=min(len(legend), sheet.entries_a_line), frameon=False, fontsize=11,
            borderaxespad=0, borderpad=0,
        )  # fmt: skip
    return figure


@dataclass
class _Sheet:
    """Positions of the cells, in inches and as shares of the sheet."""

    cell_height: float
    rows: int
    columns: int
    bar: float
    legends: Sequence[Sequence["Patch"]]
    title: float

    @property
    def width(self) -> float:
        return _GAP + self.columns * (_CELL + _GAP) + self.bar

    @property
    def height(self) -> float:
        return (
            self.title
            + self.rows * (_HEADING + self.cell_height)
            + 0.25
            + sum(self._legend_heights)
        )

    @property
    def entries_a_line(self) -> int:
        return max(1, int(self.width / _LEGEND_ENTRY))

    @property
    def _legend_heights(self) -> list[float]:
        return [_LEGEND_LINE * -(-len(legend) // self.entries_a_line) for legend in self.legends]

    @property
    def legend_bottoms(self) -> list[float]:
        """Bottom edge of each legend, in inches above the sheet's bottom."""
        heights = self._legend_heights
        return [0.08 + sum(heights[number + 1 :]) for number in range(len(heights))]

    def cell(self, row: int, column: int) -> tuple[float, float, float, float]:
        return self._share(_GAP + column * (_CELL + _GAP), row, _CELL)

    def color_bar(self, row: int) -> tuple[float, float, float, float]:
        return self._share(_GAP + self.columns * (_CELL + _GAP), row, 0.16)

    def _share(self, left: float, row: int, width: float) -> tuple[float, float, float, float]:
        top = self.title + row * (_HEADING + self.cell_height) + _HEADING
        bottom = self.height - top - self.cell_height
        return (
            left / self.width, bottom / self.height, width / self.width,
            self.cell_height / self.height,
        )  # fmt: skip


def _frame(axis: "Axes") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("0.6")
        spine.set_linewidth(0.6)


def step_to_fit(height: int, width: int) -> int:
    """Return the subsampling step that limits a map's longer side to 1200 drawn pixels."""
    return max(1, -(-max(height, width) // _LARGEST_SIDE))


def picture_cell(title: str, pixels: NDArray[Any], step: int = 1) -> Cell:
    """Return a cell that shows every ``step``-th pixel of a picture (H, W, 3)."""
    return Cell(title, partial(show_pixels, pixels=pixels, step=step))


def map_cell(
    title: str, shown: NDArray[np.floating], colors: str, labels: Mapping[float, str], step: int = 1
) -> Cell:
    """Return a cell that shows a map (H, W) in a matplotlib colour map.

    Args:
        title: Title of the cell.
        shown: The map, of which every ``step``-th value is drawn.
        colors: Name of the colour map, which spans the labelled values.
        labels: Labels of values, ascending, for the colour scale of the row.
        step: Subsampling step.
    """
    low, high = min(labels), max(labels)

    def show(axis: "Axes") -> None:
        axis.imshow(shown[::step, ::step], cmap=colors, vmin=low, vmax=high)

    return Cell(title, show, partial(color_scale, colors=colors, limits=(low, high), labels=labels))


def show_pixels(axis: "Axes", pixels: NDArray[Any], step: int) -> None:
    """Draw every ``step``-th pixel; averaging would create colours that belong to no class."""
    axis.imshow(pixels[::step, ::step], interpolation="nearest" if step > 1 else "antialiased")


def color_scale(
    bar: "Axes", colors: str, limits: tuple[float, float], labels: Mapping[float, str]
) -> None:
    """Draw a colour scale from the lowest to the highest of the labelled values."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar.figure.colorbar(ScalarMappable(Normalize(*limits), colors), cax=bar, ticks=list(labels))
    bar.set_ylim(min(labels), max(labels))
    bar.set_yticklabels(list(labels.values()), fontsize=11)


def patch(name: str, color: Color) -> "Patch":
    """Return a legend entry."""
    from matplotlib.patches import Patch

    red, green, blue = (value / 255 for value in color)
    return Patch(facecolor=(red, green, blue), edgecolor="black", linewidth=0.5, label=name)


def class_patches(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    names: Sequence[str],
    colors: Sequence[Color],
) -> list["Patch"]:
    """Return legend entries of the classes in two maps (H, W), and of void if the first has any."""
    present = np.union1d(np.unique(truth), np.unique(prediction))
    patches = [patch(names[k], colors[k]) for k in present if 0 <= k < len(names)]
    return patches if is_class(truth, len(names)).all() else [*patches, void_patch()]


def void_patch() -> "Patch":
    """Return the legend entry of unlabelled pixels."""
    from matplotlib.patches import Patch

    light, dark = str(HATCH_LIGHT / 255), str(HATCH_DARK / 255)
    return Patch(
        facecolor=light, edgecolor=dark, hatch="//////", linewidth=0.5, label="not labelled"
    )
