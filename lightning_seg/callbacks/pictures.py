"""Pictures of one prediction that can be read on their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from lightning_seg.metrics.functional.windows import differs_within

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

_VOID_GREY = 25
_RIGHT, _WRONG = (125, 200, 130), (215, 20, 30)
# The scale runs on beyond [-1, 1], which keeps its darkest colours out of the picture.
_DISTANCE_COLORS, _DISTANCE_LIMIT = "PuOr", 1.6
# Sizes in inches.
_COLUMNS, _CELL, _GAP, _BAR = 4, 4.0, 0.12, 1.15
_TITLE, _HEADING = 0.5, 0.36
_LEGEND_COLUMNS = 9
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
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    class_names: Sequence[str]
    class_colors: Sequence[tuple[int, int, int]]
    distance: np.ndarray | None = None
    true_distance: np.ndarray | None = None
    boundary: np.ndarray | None = None
    true_boundary: np.ndarray | None = None
    color: np.ndarray | None = None
    true_color: np.ndarray | None = None
    band_width: int | None = None

    def __post_init__(self) -> None:
        if self.band_width is None:
            diagonal = float(np.hypot(*self.truth.shape))
            self.band_width = max(2, round(0.01 * diagonal))


def draw(picture: Picture) -> "Figure":
    """Image, truth, prediction and errors along the boundaries, with a legend of the classes.

    A second row shows the distances, if there are any, of the two classes with the longest
    boundaries: predicted and true, side by side on one scale, with the line where the class ends.
    A third shows boundaries, of all classes in one map, and colours.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = picture.truth.shape
    classes = _present(picture)
    patches = _legend_patches(picture, classes)
    has_distance = picture.distance is not None
    has_more = picture.boundary is not None or picture.color is not None
    sheet = _Sheet(
        cell_height=_CELL * float(np.clip(height / width, 0.3, 2.0)),
        rows=1 + has_distance + has_more,
        bar=_BAR if has_distance else 0.0,
        legend_lines=-(-len(patches) // _LEGEND_COLUMNS),
    )
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=100)
    FigureCanvasAgg(figure)
    step = max(1, -(-max(height, width) // _LARGEST_SIDE))
    top = [figure.add_axes(sheet.cell(0, column)) for column in range(_COLUMNS)]
    _show(top[0], picture.image, "image", step)
    _show(top[1], _paint(picture, picture.truth), "truth", step)
    _show(top[2], _paint(picture, picture.prediction), "prediction", step)
    _show(top[3], boundary_errors(picture), _error_title(picture), step)
    if has_distance:
        second = [figure.add_axes(sheet.cell(1, column)) for column in range(_COLUMNS)]
        _distance_row(second, figure.add_axes(sheet.color_bar()), picture, classes, step)
    if has_more:
        row = 1 + has_distance
        last = [figure.add_axes(sheet.cell(row, column)) for column in range(_COLUMNS)]
        _boundary_and_color_row(last, picture, step)
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
        left = _GAP + column * (_CELL + _GAP)
        top = _TITLE + row * (_HEADING + self.cell_height) + _HEADING
        return self._share(left, top, _CELL, self.cell_height)

    def color_bar(self) -> tuple[float, float, float, float]:
        left = _GAP + _COLUMNS * (_CELL + _GAP)
        top = _TITLE + 2 * _HEADING + self.cell_height
        return self._share(left, top, 0.16, self.cell_height)

    def _share(
        self, left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        bottom = self.height - top - height
        return (
            left / self.width, bottom / self.height, width / self.width, height / self.height,
        )  # fmt: skip


def render(figure: "Figure") -> np.ndarray:
    """The figure as (H, W, 3) uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def png(pixels: np.ndarray) -> bytes:
    """The pixels (H, W, 3) uint8 as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def boundary_band(labels: np.ndarray, num_classes: int, width: int) -> np.ndarray:
    """Valid pixels with a differently labelled valid pixel within ``width`` (H, W), bool.

    Void (any other label) and the image border make no boundary. It is the band of the trimap IoU.
    """
    valid = (labels >= 0) & (labels < num_classes)
    known = torch.from_numpy(np.where(valid, labels, 0).astype(np.int32))[None]
    (differs,) = differs_within(known, [width], torch.from_numpy(~valid)[None])
    return valid & differs[0].numpy()


def boundary_errors(picture: Picture) -> np.ndarray:
    """(H, W, 3) uint8: right green and wrong red near true boundaries, the rest faded."""
    assert picture.band_width is not None
    band = boundary_band(picture.truth, len(picture.class_names), picture.band_width)
    right = picture.truth == picture.prediction
    grey = cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    faded = np.repeat((175 + 0.3 * grey)[..., None], 3, axis=2)
    for where, color in ((band & right, _RIGHT), (band & ~right, _WRONG)):
        # A little of the image shines through, to see what the boundary belongs to.
        faded[where] = np.array(color) * 0.85 + 0.15 * grey[where][:, None]
    return faded.clip(0, 255).astype(np.uint8)


def _paint(picture: Picture, labels: np.ndarray) -> np.ndarray:
    count = len(picture.class_colors)
    table = np.full((count + 1, 3), _VOID_GREY, np.uint8)
    table[:count] = picture.class_colors
    return table[np.where((labels >= 0) & (labels < count), labels, count)]


def _present(picture: Picture) -> list[int]:
    found = np.union1d(np.unique(picture.truth), np.unique(picture.prediction))
    return [int(k) for k in found if 0 <= k < len(picture.class_names)]


def _show(axis: "Axes", pixels: np.ndarray, title: str, step: int) -> None:
    # Every step-th pixel: averaging would invent colours that stand for no class.
    axis.imshow(pixels[::step, ::step], interpolation="nearest" if step > 1 else "antialiased")
    axis.set_title(title, fontsize=12)
    _frame(axis)


def _frame(axis: "Axes") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("0.6")
        spine.set_linewidth(0.6)


def _error_title(picture: Picture) -> str:
    assert picture.band_width is not None
    band = boundary_band(picture.truth, len(picture.class_names), picture.band_width)
    if not band.any():
        return "no boundaries in the truth"
    wrong = (picture.truth != picture.prediction)[band].mean()
    return f"{wrong:.1%} wrong within {picture.band_width} px of boundaries"


def _distance_row(
    axes: Sequence["Axes"], bar: "Axes", picture: Picture, classes: list[int], step: int
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shown = _longest_boundaries(picture, classes)[:2]
    kinds = {"predicted": picture.distance, "true": picture.true_distance}
    cells = [(k, kind, maps) for k in shown for kind, maps in kinds.items()]
    norm = Normalize(-_DISTANCE_LIMIT, _DISTANCE_LIMIT)
    for axis in axes:
        axis.set_visible(False)
    for axis, (k, kind, maps) in zip(axes, cells, strict=False):
        if maps is None:
            continue
        distances = maps[k][::step, ::step].astype(np.float32)
        axis.imshow(distances, cmap=_DISTANCE_COLORS, norm=norm)
        if distances.min() < 0 < distances.max():
            axis.contour(distances, levels=[0.0], colors="black", linewidths=0.9)
        axis.set_title(f"{picture.class_names[k]}: {kind} distance", fontsize=12)
        axis.set_visible(True)
        _frame(axis)
    given = [maps for maps in kinds.values() if maps is not None]
    signed = any(maps.min() < 0 for maps in given)
    scale = ScalarMappable(norm, _DISTANCE_COLORS)
    labels = {-1: "far out", 0: "boundary", 1: "far in"} if signed else {0: "outside", 1: "deepest"}
    bar.figure.colorbar(scale, cax=bar, ticks=list(labels))
    bar.set_ylim(min(labels), 1)
    bar.set_yticklabels(list(labels.values()), fontsize=11)


def _boundary_and_color_row(axes: Sequence["Axes"], picture: Picture, step: int) -> None:
    maps = {
        "predicted boundaries": _ink(picture.boundary),
        "true boundaries": _ink(picture.true_boundary),
        "predicted colours": _rgb(picture.color),
        "true colours": _rgb(picture.true_color),
    }
    for axis, (title, pixels) in zip(axes, maps.items(), strict=True):
        axis.set_visible(pixels is not None)
        if pixels is not None:
            _show(axis, pixels, title, step)


def _ink(boundary: np.ndarray | None) -> np.ndarray | None:
    """Boundaries of all classes (K, H, W) as black on white (H, W, 3)."""
    if boundary is None:
        return None
    return np.repeat(1 - boundary.max(axis=0)[..., None], 3, axis=2)


def _rgb(hsv: np.ndarray | None) -> np.ndarray | None:
    """Hue, saturation and value (3, H, W) as red, green and blue (H, W, 3)."""
    from matplotlib.colors import hsv_to_rgb

    return None if hsv is None else hsv_to_rgb(np.moveaxis(hsv, 0, -1).clip(0, 1))


def _longest_boundaries(picture: Picture, classes: list[int]) -> list[int]:
    count = len(picture.class_names)
    edges = picture.truth[boundary_band(picture.truth, count, 1)]
    lengths = np.bincount(edges.astype(np.int64), minlength=count)
    return sorted(classes, key=lambda k: -int(lengths[k]))


def _legend_patches(picture: Picture, classes: list[int]) -> list["Patch"]:
    from matplotlib.patches import Patch

    entries = [(picture.class_names[k], picture.class_colors[k]) for k in classes]
    if ((picture.truth < 0) | (picture.truth >= len(picture.class_names))).any():
        entries.append(("not labelled", (_VOID_GREY,) * 3))
    entries += [("right", _RIGHT), ("wrong", _WRONG)]
    return [
        Patch(
            facecolor=(color[0] / 255, color[1] / 255, color[2] / 255),
            edgecolor="black",
            linewidth=0.5,
            label=name,
        )
        for name, color in entries
    ]
