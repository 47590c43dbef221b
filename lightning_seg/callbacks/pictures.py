"""Pictures of one prediction that can be read on their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightning_seg.callbacks.picture_maps import (
    RIGHT,
    VOID_GREY,
    WRONG,
    Pixels,
    boundary_band,
    boundary_errors,
    errors,
    ink,
    is_class,
    paint,
    rgb,
)

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

Map = NDArray[np.floating]

# The scale runs on beyond [-1, 1], which keeps its darkest colours out of the picture.
_DISTANCE_COLORS, _DISTANCE_LIMIT = "PuOr", 1.6
_ENTROPY_COLORS = "inferno"
# Sizes in inches.
_COLUMNS, _CELL, _GAP, _BAR = 3, 4.0, 0.12, 1.25
_TITLE, _HEADING = 0.5, 0.36
_LEGEND_COLUMNS = 7
_LARGEST_SIDE = 1200


@dataclass
class Picture:
    """What there is to show of one image; classes are 0..K-1, sizes (H, W) are all the same.

    Args:
        title: Stands above all.
        image: (H, W, 3) uint8.
        truth: (H, W) class numbers; others are void.
        prediction: (H, W) class numbers.
        class_names: K names.
        class_colors: K RGB colours, 0 to 255.
        entropy: How undecided the prediction is, in [0, 1]; of the whole image, in any size.
        distance: Predicted distances (K, H, W), signed ones in [-1, 1] or, inside classes alone, in
            [0, 1].
        true_distance: Their targets.
        boundary: Predicted boundaries (K, H, W) in [0, 1].
        true_boundary: Their targets.
        color: Predicted hue, saturation and value (3, H, W) in [0, 1].
        true_color: Their targets.
        band_width: Width in pixels of the band along true boundaries where errors are shown; by
            default 1 % of the diagonal, at least 2.
    """

    title: str
    image: Pixels
    truth: NDArray[np.integer]
    prediction: NDArray[np.integer]
    class_names: Sequence[str]
    class_colors: Sequence[tuple[int, int, int]]
    entropy: Map | None = None
    distance: Map | None = None
    true_distance: Map | None = None
    boundary: Map | None = None
    true_boundary: Map | None = None
    color: Map | None = None
    true_color: Map | None = None
    band_width: int | None = None

    @property
    def width(self) -> int:
        """Width of the band in pixels."""
        diagonal = float(np.hypot(*self.truth.shape))
        return self.band_width or max(2, round(0.01 * diagonal))

    @cached_property
    def band(self) -> NDArray[np.bool_]:
        """The pixels near true boundaries."""
        return boundary_band(self.truth, len(self.class_names), self.width)

    @property
    def classes(self) -> list[int]:
        """The classes that the truth or the prediction holds."""
        found = np.union1d(np.unique(self.truth), np.unique(self.prediction))
        return [int(k) for k in found if 0 <= k < len(self.class_names)]


@dataclass
class _Cell:
    """A title and what draws below it; ``scale`` draws the row's scale of colours."""

    title: str
    show: Callable[["Axes"], object]
    scale: Callable[["Axes"], object] | None = None


@dataclass
class _Row:
    cells: list[_Cell] = field(default_factory=list)


def draw(picture: Picture) -> "Figure":
    """All there is to show, with a title, headings, scales and a legend of the classes.

    First image, truth and prediction; then errors in the whole image (right green, wrong red, as
    ISPRS shows them) and along the true boundaries, and the entropy. Then pairs, the prediction
    above its target: distances of the classes with the longest boundaries, with the line where the
    class ends; boundaries, of all classes in one map; colours.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = picture.truth.shape
    rows = _rows(picture)
    patches = _legend_patches(picture)
    sheet = _Sheet(
        cell_height=_CELL * float(np.clip(height / width, 0.3, 2.0)),
        rows=len(rows),
        bar=_BAR if any(cell.scale for row in rows for cell in row.cells) else 0.0,
        legend_lines=-(-len(patches) // _LEGEND_COLUMNS),
    )
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=100)
    FigureCanvasAgg(figure)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row.cells):
            axis = figure.add_axes(sheet.cell(number, column))
            cell.show(axis)
            axis.set_title(cell.title, fontsize=12)
            _frame(axis)
        scale = next((cell.scale for cell in row.cells if cell.scale), None)
        if scale is not None:
            scale(figure.add_axes(sheet.color_bar(number)))
    title_height = 1 - 0.5 * _TITLE / sheet.height
    figure.suptitle(picture.title, y=title_height, va="center", fontsize=15, fontweight="bold")
    figure.legend(
        handles=patches, loc="lower center", ncols=min(len(patches), _LEGEND_COLUMNS),
        frameon=False, fontsize=11, borderaxespad=0.3,
    )  # fmt: skip
    return figure


@dataclass
class _Sheet:
    """Places of the cells, in inches turned into shares of the sheet."""

    cell_height: float
    rows: int
    bar: float
    legend_lines: int

    @property
    def width(self) -> float:
        return _GAP + _COLUMNS * (_CELL + _GAP) + self.bar

    @property
    def height(self) -> float:
        return _TITLE + self.rows * (_HEADING + self.cell_height) + 0.25 + 0.24 * self.legend_lines

    def cell(self, row: int, column: int) -> tuple[float, float, float, float]:
        return self._share(_GAP + column * (_CELL + _GAP), row, _CELL)

    def color_bar(self, row: int) -> tuple[float, float, float, float]:
        return self._share(_GAP + _COLUMNS * (_CELL + _GAP), row, 0.16)

    def _share(self, left: float, row: int, width: float) -> tuple[float, float, float, float]:
        top = _TITLE + row * (_HEADING + self.cell_height) + _HEADING
        bottom = self.height - top - self.cell_height
        return (
            left / self.width, bottom / self.height, width / self.width,
            self.cell_height / self.height,
        )  # fmt: skip


def step_to_fit(height: int, width: int) -> int:
    """Every how many pixels of a map are drawn, so that its longer side is no waste of space."""
    return max(1, -(-max(height, width) // _LARGEST_SIDE))


def render(figure: "Figure") -> Pixels:
    """The figure as (H, W, 3) uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def png(pixels: Pixels) -> bytes:
    """The pixels (H, W, 3) uint8 as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def _rows(picture: Picture) -> list[_Row]:
    step = step_to_fit(*picture.truth.shape)

    def shown(title: str, pixels: NDArray[Any]) -> _Cell:
        return _Cell(title, partial(_show, pixels=pixels, step=step))

    maps = (picture.image, picture.truth, picture.prediction)
    given = _Row(
        [
            shown("image", picture.image),
            shown("truth", paint(picture.truth, picture.class_colors)),
            shown("prediction", paint(picture.prediction, picture.class_colors)),
        ]
    )
    judged = _Row(
        [
            shown(_error_title(picture), errors(*maps, len(picture.class_names))),
            shown(_band_title(picture), boundary_errors(*maps, picture.band)),
        ]
    )
    if picture.entropy is not None:
        draw_entropy = partial(_show_entropy, entropy=picture.entropy)
        judged.cells.append(_Cell("entropy of the prediction", draw_entropy, _entropy_scale))
    return [given, judged, *_pairs(picture, step)]


def _pairs(picture: Picture, step: int) -> list[_Row]:
    """Predictions above targets; at most one sheet's width of them."""
    pairs: list[tuple[_Cell | None, _Cell | None]] = []
    for name, maps, pixels_of in (
        ("boundaries", (picture.boundary, picture.true_boundary), ink),
        ("colours", (picture.color, picture.true_color), rgb),
    ):
        predicted, true = (
            None if m is None else partial(_show, pixels=pixels_of(m), step=step) for m in maps
        )
        if predicted is not None:
            below = None if true is None else _Cell(f"true {name}", true)
            pairs.append((_Cell(f"predicted {name}", predicted), below))
    if picture.distance is not None:
        shown = _longest_boundaries(picture)[: _COLUMNS - len(pairs)]
        distances = [_distance_cells(picture, k, step) for k in shown]
        pairs = [*distances, *pairs]
    rows = [_Row([cell for cell in cells if cell is not None]) for cells in zip(*pairs)]
    return [row for row in rows if row.cells]


def _distance_cells(picture: Picture, k: int, step: int) -> tuple[_Cell | None, _Cell | None]:
    kinds = {"predicted": picture.distance, "true": picture.true_distance}
    signed = any(maps is not None and maps.min() < 0 for maps in kinds.values())
    predicted, true = (
        None
        if maps is None
        else _Cell(
            f"{picture.class_names[k]}: {kind} distance",
            partial(_show_distance, distance=maps[k], step=step),
            partial(_distance_scale, signed=signed),
        )
        for kind, maps in kinds.items()
    )
    return predicted, true


def _show(axis: "Axes", pixels: NDArray[Any], step: int) -> None:
    # Every step-th pixel: averaging would invent colours that stand for no class.
    axis.imshow(pixels[::step, ::step], interpolation="nearest" if step > 1 else "antialiased")


def _show_entropy(axis: "Axes", entropy: Map) -> None:
    axis.imshow(entropy, cmap=_ENTROPY_COLORS, vmin=0, vmax=1)


def _show_distance(axis: "Axes", distance: Map, step: int) -> None:
    distance = distance[::step, ::step].astype(np.float32)
    limit = _DISTANCE_LIMIT
    axis.imshow(distance, cmap=_DISTANCE_COLORS, vmin=-limit, vmax=limit)
    if distance.min() < 0 < distance.max():
        axis.contour(distance, levels=[0.0], colors="black", linewidths=0.9)


def _entropy_scale(bar: "Axes") -> None:
    _scale(bar, _ENTROPY_COLORS, (0, 1), {0: "certain", 1: "undecided"})


def _distance_scale(bar: "Axes", signed: bool) -> None:
    labels = {-1: "far out", 0: "boundary", 1: "far in"} if signed else {0: "outside", 1: "deepest"}
    _scale(bar, _DISTANCE_COLORS, (-_DISTANCE_LIMIT, _DISTANCE_LIMIT), labels)


def _scale(bar: "Axes", colors: str, limits: tuple[float, float], labels: dict[int, str]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar.figure.colorbar(ScalarMappable(Normalize(*limits), colors), cax=bar, ticks=list(labels))
    bar.set_ylim(min(labels), max(labels))
    bar.set_yticklabels(list(labels.values()), fontsize=11)


def _frame(axis: "Axes") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("0.6")
        spine.set_linewidth(0.6)


def _error_title(picture: Picture) -> str:
    valid = is_class(picture.truth, len(picture.class_names))
    if not valid.any():
        return "nothing is labelled"
    return f"errors: {(picture.truth != picture.prediction)[valid].mean():.1%} wrong"


def _band_title(picture: Picture) -> str:
    if not picture.band.any():
        return "no boundaries in the truth"
    wrong = (picture.truth != picture.prediction)[picture.band].mean()
    return f"{wrong:.1%} wrong within {picture.width} px of boundaries"


def _longest_boundaries(picture: Picture) -> list[int]:
    count = len(picture.class_names)
    edges = picture.truth[boundary_band(picture.truth, count, 1)]
    lengths = np.bincount(edges.astype(np.int64), minlength=count)
    return sorted(picture.classes, key=lambda k: -int(lengths[k]))


def _legend_patches(picture: Picture) -> list["Patch"]:
    from matplotlib.patches import Patch

    entries = [(picture.class_names[k], picture.class_colors[k]) for k in picture.classes]
    if not is_class(picture.truth, len(picture.class_names)).all():
        entries.append(("not labelled", (VOID_GREY,) * 3))
    entries += [("right", RIGHT), ("wrong", WRONG)]
    return [
        Patch(
            facecolor=(color[0] / 255, color[1] / 255, color[2] / 255),
            edgecolor="black",
            linewidth=0.5,
            label=name,
        )
        for name, color in entries
    ]
