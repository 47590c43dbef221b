"""Self-explanatory pictures of one prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from lightning_seg.callbacks.pictures.picture_maps import (
    Pixels,
    Verdict,
    boundary_band,
    hatched,
    ink,
    is_class,
    judged,
    paint,
    paint_over,
    positives_and_negatives,
    rgb,
    right_and_wrong,
)
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    color_scale,
    draw_sheet,
    map_cell,
    patch,
    picture_cell,
    step_to_fit,
    void_patch,
)
from lightning_seg.palette import Color

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Map = NDArray[np.floating]

_COLUMNS = 3
# The colour scale extends beyond [-1, 1], so that its darkest colours are not used.
_DISTANCE_COLORS, _DISTANCE_LIMIT = "PuOr", 1.6
_DIFFERENCE_LIMIT = 0.5


@dataclass
class Picture:
    """Contents of the picture of one image, with classes 0..K-1 and maps of one size (H, W).

    Args:
        title: Title of the picture.
        image: Image (H, W, 3) uint8.
        truth: Ground-truth labels (H, W); labels that are no class are void.
        prediction: Predicted labels (H, W).
        class_names: Names of the K classes.
        class_colors: RGB colours of the K classes, 0 to 255.
        entropy: Normalised entropy of the prediction in [0, 1], of the whole image at any size.
        distance: Predicted distances (K, H, W): signed in [-1, 1], or inside only in [0, 1].
        true_distance: Target of ``distance``.
        boundary: Predicted boundaries (K, H, W) in [0, 1].
        true_boundary: Target of ``boundary``.
        color: Predicted HSV (3, H, W) in [0, 1].
        true_color: Target of ``color``.
        bands: Extra image channels (H, W) by name, in any unit.
        band_width: Width in pixels of the band along true boundaries in which errors are shown; by
            default 1 % of the diagonal, at least 2.
        positive: Class whose true positives, false positives and false negatives are shown, and
            whose boundaries are used; None shows right and wrong pixels of all classes.
        over_image: Whether ground truth and prediction are painted over the image.
    """

    title: str
    image: Pixels
    truth: NDArray[np.integer]
    prediction: NDArray[np.integer]
    class_names: Sequence[str]
    class_colors: Sequence[Color]
    entropy: Map | None = None
    distance: Map | None = None
    true_distance: Map | None = None
    boundary: Map | None = None
    true_boundary: Map | None = None
    color: Map | None = None
    true_color: Map | None = None
    bands: Mapping[str, Map] = field(default_factory=dict)
    band_width: int | None = None
    positive: int | None = None
    over_image: bool = False

    @property
    def width(self) -> int:
        """Width of the boundary band in pixels."""
        diagonal = float(np.hypot(*self.truth.shape[-2:]))
        return self.band_width or max(2, round(0.01 * diagonal))

    @cached_property
    def void(self) -> NDArray[np.bool_]:
        """Mask (H, W) of unlabelled pixels."""
        return ~is_class(self.truth, len(self.class_names))

    @cached_property
    def band(self) -> NDArray[np.bool_]:
        """Mask (H, W) of the pixels near true boundaries."""
        if self.positive is None:
            return boundary_band(self.truth, len(self.class_names), self.width)
        inside = np.where(self.void, -1, self.truth == self.positive)
        return boundary_band(inside, 2, self.width)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Right and wrong pixels, or the outcomes of the positive class."""
        maps = (self.truth, self.prediction, self.class_colors)
        if self.positive is None:
            return right_and_wrong(*maps)
        return positives_and_negatives(*maps, self.positive)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Mask (H, W) of wrong pixels."""
        return np.any([verdict.where for verdict in self.verdicts[1:]], axis=0)

    @property
    def classes(self) -> list[int]:
        """Classes that the ground truth or the prediction holds."""
        labels = np.union1d(np.unique(self.truth), np.unique(self.prediction))
        return [int(k) for k in labels if 0 <= k < len(self.class_names)]

    @property
    def each(self) -> "list[Picture]":
        """Pictures of single labels, where pixels have several."""
        return []

    def painted(self, labels: NDArray[np.integer]) -> Pixels:
        """Paint ground truth or prediction in the class colours (H, W, 3), void hatched."""
        if self.over_image:
            return paint_over(self.image, labels, self.class_colors)
        return paint(labels, self.class_colors)


def draw(picture: Picture) -> "Figure":
    """Draw the picture with a title, headings, colour scales and legends.

    The first row shows image, ground truth and prediction. The second shows the errors in the whole
    image (right green, wrong red, as in ISPRS, or other colours if a class has a similar one), the
    errors near true boundaries, and the entropy. Two rows show predictions above their targets: the
    distances of the classes with the longest boundaries, with the zero level as a line; the
    boundaries of all classes in one map; colours. The last rows show single labels, extra image
    channels and the mean error of the colours. Unlabelled pixels are hatched.
    """
    height, width = picture.truth.shape[-2:]
    classes = [patch(picture.class_names[k], picture.class_colors[k]) for k in picture.classes]
    verdicts = [picture.verdicts, *[label.verdicts for label in picture.each[:1]]]
    legends = [
        [*classes, void_patch()] if _has_void(picture) else classes,
        *[[patch(verdict.name, verdict.color) for verdict in kinds] for kinds in verdicts],
    ]
    return draw_sheet(picture.title, _rows(picture), legends, height / width, _COLUMNS)


def render(figure: "Figure") -> Pixels:
    """Render a figure to an array (H, W, 3) uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def png(pixels: Pixels) -> bytes:
    """Encode pixels (H, W, 3) uint8 as a PNG."""
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def _has_void(picture: Picture) -> bool:
    return any(part.void.any() for part in (picture, *picture.each))


def _rows(picture: Picture) -> list[Row]:
    step = step_to_fit(*picture.truth.shape[-2:])
    given: list[Cell | None] = [
        picture_cell("image", picture.image, step),
        picture_cell("ground truth", picture.painted(picture.truth), step),
        picture_cell("prediction", picture.painted(picture.prediction), step),
    ]
    near = judged(picture.image, picture.verdicts, picture.void, picture.band)
    all_over = judged(picture.image, picture.verdicts, picture.void)
    seen: list[Cell | None] = [
        picture_cell(_error_title(picture), all_over, step),
        picture_cell(band_title(picture), near, step),
    ]
    if picture.entropy is not None:
        seen.append(entropy_cell("entropy of the prediction", picture.entropy))
    each = [
        picture_cell(_error_title(one), judged(one.image, one.verdicts, one.void), step)
        for one in picture.each
    ]
    extra = [*each, *_extra_cells(picture, step)]
    last = [Row([*extra[i : i + _COLUMNS]]) for i in range(0, len(extra), _COLUMNS)]
    return [Row(given), Row(seen), *_pairs(picture, step), *last]


def _pairs(picture: Picture, step: int) -> list[Row]:
    """Return a row of predictions above a row of targets, at most as wide as the sheet."""
    pairs: list[tuple[Cell | None, Cell | None]] = []
    if picture.boundary is not None:
        true = picture.true_boundary
        inked = None if true is None else hatched(ink(true), picture.void)
        pairs.append(_pair("boundaries", ink(picture.boundary), inked, step))
    if picture.color is not None:
        true = picture.true_color
        pairs.append(
            _pair("colours", rgb(picture.color), None if true is None else rgb(true), step)
        )
    if picture.distance is not None:
        shown = _longest_boundaries(picture)[: _COLUMNS - len(pairs)]
        distances = [_distance_cells(picture, k, step) for k in shown]
        pairs = [*distances, *pairs]
    rows = [Row([cell for cell in cells if cell is not None]) for cells in zip(*pairs)]
    return [row for row in rows if row.cells]


def _pair(
    name: str, predicted: NDArray[np.number], true: NDArray[np.number] | None, step: int
) -> tuple[Cell, Cell | None]:
    below = None if true is None else picture_cell(f"true {name}", true, step)
    return picture_cell(f"predicted {name}", predicted, step), below


def _distance_cells(picture: Picture, k: int, step: int) -> tuple[Cell | None, Cell | None]:
    kinds = {"predicted": picture.distance, "true": picture.true_distance}
    signed = any(maps is not None and maps.min() < 0 for maps in kinds.values())
    nowhere = np.zeros_like(picture.void)
    predicted, true = (
        None
        if maps is None
        else Cell(
            f"{picture.class_names[k]}: {kind} distance",
            partial(
                _show_distance,
                distance=maps[k],
                void=picture.void if kind == "true" else nowhere,
                step=step,
            ),
            partial(_distance_scale, signed=signed),
        )
        for kind, maps in kinds.items()
    )
    return predicted, true


def _extra_cells(picture: Picture, step: int) -> list[Cell]:
    """Return the cells of extra image channels and of the colour error."""
    cells = [
        Cell(name, partial(_show_band, band=band, step=step))
        for name, band in picture.bands.items()
    ]
    if picture.color is not None and picture.true_color is not None:
        error = np.abs(rgb(picture.color) - rgb(picture.true_color)).mean(axis=-1)
        labels = {0: "none", _DIFFERENCE_LIMIT: f"{_DIFFERENCE_LIMIT:g} or more"}
        title = f"error of colours: {error.mean():.3f} of 1"
        cells.append(map_cell(title, error, "magma", labels, step))
    return cells


def entropy_cell(title: str, entropy: Map) -> Cell:
    """Return a cell that shows a normalised entropy (H, W)."""
    return map_cell(title, entropy, "inferno", {0: "certain", 1: "undecided"})


def _show_distance(axis: "Axes", distance: Map, void: NDArray[np.bool_], step: int) -> None:
    # Void has no distance, but the map is 0 there as on a boundary; hide it.
    known = np.where(void, np.nan, distance)[::step, ::step].astype(np.float32)
    limit = _DISTANCE_LIMIT
    axis.imshow(hatched(np.full((*void.shape, 3), 255, np.uint8), void)[::step, ::step])
    axis.imshow(known, cmap=_DISTANCE_COLORS, vmin=-limit, vmax=limit)
    if (known < 0).any() and (known > 0).any():
        axis.contour(known, levels=[0.0], colors="black", linewidths=0.9)


def _show_band(axis: "Axes", band: Map, step: int) -> None:
    low, high = np.nanpercentile(band, (1, 99))
    axis.imshow(band[::step, ::step], cmap="gray", vmin=low, vmax=max(high, low + 1e-9))


def _distance_scale(bar: "Axes", signed: bool) -> None:
    signed_labels = {-1.0: "far out", 0.0: "boundary", 1.0: "far in"}
    labels = signed_labels if signed else {0.0: "outside", 1.0: "deepest"}
    color_scale(bar, _DISTANCE_COLORS, (-_DISTANCE_LIMIT, _DISTANCE_LIMIT), labels)


def _error_title(picture: Picture) -> str:
    valid = ~picture.void
    if not valid.any():
        return "no labelled pixels"
    if picture.positive is None:
        return f"errors: {picture.wrong[valid].mean():.1%} wrong"
    name = picture.class_names[picture.positive]
    true, false_positive, false_negative = (int(v.where.sum()) for v in picture.verdicts)
    union = true + false_positive + false_negative
    return f"{name}: IoU {true / union:.1%}" if union else f"{name}: in neither map"


def band_title(picture: Picture) -> str:
    """Return the share of wrong pixels near true boundaries, in words."""
    if not picture.band.any():
        return "no true boundaries"
    whose = "boundaries" if picture.positive is None else "its boundaries"
    return f"{picture.wrong[picture.band].mean():.1%} wrong within {picture.width} px of {whose}"


def _longest_boundaries(picture: Picture) -> list[int]:
    count = len(picture.class_names)
    edges = picture.truth[boundary_band(picture.truth, count, 1)]
    lengths = np.bincount(edges.astype(np.int64), minlength=count)
    return sorted(picture.classes, key=lambda k: -int(lengths[k]))
