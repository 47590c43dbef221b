"""Contact sheet of samples with their targets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_seg.callbacks.pictures.picture_maps import hatched, ink, is_class, paint, rgb
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    draw_sheet,
    patch,
    picture_cell,
    step_to_fit,
    void_patch,
)
from lightning_seg.palette import Color
from lightning_seg.targets import HSV, ClassBoundary, SignedDistance

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure


def draw_samples(
    samples: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    class_colors: Sequence[Color],
    clip: float = 10.0,
) -> "Figure":
    """Draw one row per sample: image, label, distance, boundaries, hue and extra channels.

    The distance is measured from each pixel to the boundary of its own class, up to ``clip``
    pixels; it is the largest of the signed distances.
    """
    rows = [Row([*_cells(sample, class_colors, clip)]) for sample in samples]
    masks = [sample["mask"] for sample in samples]
    present = sorted({int(k) for mask in masks for k in mask.unique() if k != 255})
    patches = [*(patch(class_names[k], class_colors[k]) for k in present), void_patch()]
    ratio = float(np.mean([mask.shape[0] / mask.shape[1] for mask in masks]))
    return draw_sheet("", rows, [patches], ratio, max(len(row.cells) for row in rows))


def _cells(sample: Mapping[str, Any], class_colors: Sequence[Color], clip: float) -> list[Cell]:
    from matplotlib import colormaps

    image, mask = sample["image"][None], sample["mask"][None]
    count, labels = len(class_colors), mask[0].numpy()
    void = ~is_class(labels, count)
    distance = SignedDistance(clip)(mask, count)[0].amax(dim=0).numpy().clip(0)
    boundary = ClassBoundary()(mask, count)[0].amax(dim=0).numpy()
    shown = image[0, :3] if image.shape[1] >= 3 else image[0, :1].expand(3, -1, -1)
    painted = (colormaps["viridis"](distance)[..., :3] * 255).astype(np.uint8)
    panels = {
        str(sample["name"])[-40:]: shown.permute(1, 2, 0).numpy().clip(0, 1),
        "label": paint(labels, class_colors),
        f"distance, 0 to {clip:g} px": hatched(painted, void),
        "boundaries": hatched(ink(boundary[None]), void),
    }
    if image.shape[1] >= 3:
        hsv = HSV()(image)[0].numpy().copy()
        hsv[2] = 1
        panels["hue and saturation"] = rgb(hsv)
    for number in range(3, image.shape[1]):
        channel = image[0, number, ..., None].numpy().clip(0, 1)
        panels[f"channel {number + 1}"] = np.repeat(channel, 3, axis=2)
    step = step_to_fit(*labels.shape)
    return [picture_cell(title, pixels, step) for title, pixels in panels.items()]
