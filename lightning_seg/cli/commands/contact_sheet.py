"""Contact sheet of dataset samples and the targets that heads regress, one sample per row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import Tensor

from lightning_seg.callbacks.pictures.picture_maps import hatched, ink, is_class, paint
from lightning_seg.callbacks.pictures.picture_sheet import patch, void_patch
from lightning_seg.data.reading.labels import Color
from lightning_seg.data.samples import Sample
from lightning_seg.targets import HSV, ClassBoundary, SignedDistance

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RGB = 3
_CELL, _HEADING, _LEGEND_LINE = 2.6, 0.28, 0.24
_LEGEND_COLUMNS = 6
_LARGEST_SIDE = 600


def draw_samples(
    samples: Sequence[Sample],
    class_names: Sequence[str],
    class_colors: Sequence[Color],
    clip: float = 10.0,
) -> "Figure":
    """Draw one row per sample: image, label, distance, boundaries, hue and extra channels.

    The distance is measured from each pixel to the boundary of its own class, up to ``clip``
    pixels; it is the largest of the signed distances.

    Args:
        samples: Samples with masks.
        class_names: K names.
        class_colors: K colours.
        clip: Largest distance in pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [_panels(sample, class_colors, clip) for sample in samples]
    present = sorted({int(k) for sample in samples for k in _mask(sample).unique() if k != 255})
    patches = [patch(class_names[k], class_colors[k]) for k in present]
    patches.append(void_patch())
    legend = _LEGEND_LINE * (1 + -(-len(patches) // _LEGEND_COLUMNS))
    ratio = float(
        np.clip(np.mean([_mask(s).shape[0] / _mask(s).shape[1] for s in samples]), 0.4, 2)
    )
    columns = max(len(panels) for panels in rows)
    width, height = columns * _CELL, len(rows) * (_CELL * ratio + _HEADING) + legend
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for sample, panels, line in zip(samples, rows, axes, strict=True):
        for axis, (title, pixels) in zip(line, panels.items(), strict=True):
            _show(axis, pixels, title)
        line[0].set_title(_short(str(sample["name"])), fontsize=8)
    figure.subplots_adjust(
        left=0.005,
        right=0.995,
        top=1 - _HEADING / height,
        bottom=legend / height,
        wspace=0.02,
        hspace=_HEADING / (_CELL * ratio),
    )
    figure.legend(handles=patches, loc="lower center", ncols=_LEGEND_COLUMNS, frameon=False)
    return figure


def _panels(sample: Sample, class_colors: Sequence[Color], clip: float) -> dict[str, np.ndarray]:
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb

    image, mask = cast(Tensor, sample["image"])[None], _mask(sample)[None]
    count, labels = len(class_colors), mask[0].numpy()
    void = ~is_class(labels, count)
    distance = SignedDistance(clip)(mask, count)[0].amax(dim=0).numpy()
    boundary = ClassBoundary()(mask, count)[0].amax(dim=0).numpy()
    shown = image[0, :_RGB] if image.shape[1] >= _RGB else image[0, :1].expand(_RGB, -1, -1)
    panels = {
        "image": shown.permute(1, 2, 0).numpy(),
        "label": paint(labels, class_colors),
        f"distance, 0 to {clip:g} px": hatched(
            (colormaps["viridis"](distance.clip(0))[..., :3] * 255).astype(np.uint8), void
        ),
        "boundaries": hatched(ink(boundary[None]), void),
    }
    if image.shape[1] >= _RGB:
        hsv = HSV()(image)[0].permute(1, 2, 0).numpy().copy()
        hsv[..., 2] = 1
        panels["hue and saturation"] = hsv_to_rgb(hsv)
    for number in range(_RGB, image.shape[1]):
        panels[f"channel {number + 1}"] = np.repeat(image[0, number, ..., None].numpy(), 3, axis=2)
    return panels


def _mask(sample: Sample) -> Tensor:
    return cast(Tensor, sample["mask"])


def _show(axis: "Axes", pixels: np.ndarray, title: str) -> None:
    step = max(1, -(-max(pixels.shape[:2]) // _LARGEST_SIDE))
    shown = pixels[::step, ::step]
    if shown.dtype != np.uint8:
        shown = shown.clip(0, 1)
    axis.imshow(shown, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"
