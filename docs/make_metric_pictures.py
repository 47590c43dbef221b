"""Draw docs/images/metric_bands.png and metric_errors.png: which pixels each metric looks at.

    python docs/make_metric_pictures.py

All maps and figures come from `lightning_seg.metrics.functional`.
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from torch import Tensor

from lightning_seg.metrics.functional import (
    boundary_errors,
    boundary_f_counts,
    boundary_f_scores,
    boundary_iou,
    boundary_width,
    region_scores,
    trimap_iou,
)
from lightning_seg.metrics.functional.bits import dilate_disk
from lightning_seg.metrics.functional.boundary_errors import CAUSES
from lightning_seg.metrics.functional.contours import mixed_blocks
from lightning_seg.metrics.functional.windows import differs_within

IMAGES = Path(__file__).parent / "images"
GREEN, ORANGE, BLUE = "#009E73", "#D55E00", "#0072B2"
CLASSES = ("#ffffff", "#c8c8c8", "#8c8c8c")

HOUSE = (1, 10, 10, 30, 30)
# Rectangles (class, top, left, bottom, right) of the ground truth and of the prediction.
CASES: dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]] = {
    "swollen": ([HOUSE], [(1, 8, 8, 32, 32)]),
    "shrunk": ([HOUSE], [(1, 12, 12, 28, 28)]),
    "ragged": (
        [HOUSE],
        [HOUSE, (1, 14, 30, 17, 34), (1, 23, 30, 26, 33), (0, 10, 17, 13, 20), (0, 27, 14, 30, 18)],
    ),
    "merged": (
        [(1, 10, 4, 30, 17), (1, 10, 23, 30, 36)],
        [(1, 10, 4, 30, 17), (1, 10, 23, 30, 36), (1, 16, 17, 24, 23)],
    ),
    "split": ([(1, 10, 4, 30, 36)], [(1, 10, 4, 30, 18), (1, 10, 22, 30, 36)]),
    "missed": ([(1, 15, 15, 25, 25)], []),
    "invented": ([(1, 6, 4, 34, 14)], [(1, 6, 4, 34, 14), (1, 14, 17, 22, 25)]),
    "wrong_class": ([HOUSE], [(2, 10, 10, 30, 30)]),
}


def main() -> None:
    """Write both pictures."""
    matplotlib.use("agg")
    draw_bands()
    draw_errors()


def draw_bands() -> None:
    """Draw one scene as mask IoU, boundary IoU, trimap IoU and boundary F see it."""
    truth, pred = scene_of_bands()
    confusion = torch.bincount(truth.flatten() * 2 + pred.flatten(), minlength=4).view(2, 2)
    iou = region_scores(confusion)["iou"][1]
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 7.2), layout="constrained")

    right = (truth == 1) & (pred == 1)
    picture = paint(
        truth, (right, GREEN), ((truth == 1) & ~right, BLUE), ((pred == 1) & ~right, ORANGE)
    )
    show(axes[0, 0], picture, f"IoU {iou:.2f}: all pixels of the class")

    width = boundary_width(*truth.shape[1:], dilation_ratio=0.03)
    [in_truth], [in_pred] = (differs_within(m.to(torch.uint8), [width]) for m in (truth, pred))
    in_truth, in_pred = in_truth & (truth == 1), in_pred & (pred == 1)
    picture = paint(
        truth,
        (in_truth & in_pred, GREEN),
        (in_truth & ~in_pred, BLUE),
        (in_pred & ~in_truth, ORANGE),
    )
    score = boundary_iou(pred, truth, 2, width=width, average=None)[1]
    show(
        axes[0, 1], picture, f"Boundary IoU {score:.2f}: the bands inside both outlines, {width} px"
    )

    [band] = differs_within(truth.to(torch.uint8), [3])
    wrong = pred != truth
    picture = paint(truth, (band & ~wrong, GREEN), (band & wrong, ORANGE))
    score = trimap_iou(pred, truth, 2, widths=[3], average=None)[0, 1]
    show(axes[1, 0], picture, f"Trimap IoU {score:.2f}: the band around the true outline, 3 px")

    tolerance = 2
    lines = [mixed_blocks(labels) for labels in (pred, truth)]
    near_pred, near_truth = (dilate_disk(line.to(torch.uint8), tolerance) > 0 for line in lines)
    on_pred, on_truth = lines
    counts = boundary_f_counts(pred, truth, 2, tolerance=tolerance)
    assert int(counts.matched_pred[0, 1]) == int((on_pred & near_truth).sum())
    assert int(counts.matched_truth[0, 1]) == int((on_truth & near_pred).sum())
    picture = paint(
        truth,
        (near_truth, "#d9efe7"),
        (on_truth & ~near_pred, BLUE),
        (on_pred & ~near_truth, ORANGE),
        (on_truth & near_pred | on_pred & near_truth, GREEN),
    )
    score = boundary_f_scores(counts)[0][0, 1]
    show(axes[1, 1], picture, f"Boundary F {score:.2f}: outlines at most {tolerance} px apart")
    figure.legend(
        handles=[
            Patch(color=GREEN, label="right"),
            Patch(color=BLUE, label="ground truth only"),
            Patch(color=ORANGE, label="prediction only (trimap: wrong)"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    save(figure, "metric_bands.png")


def draw_errors() -> None:
    """Draw a case of each cause; every wrong pixel of it has that cause."""
    figure, axes = pyplot.subplots(2, 4, figsize=(9, 5), layout="constrained")
    for (cause, (true, predicted)), axis in zip(CASES.items(), axes.flat, strict=True):
        truth, pred = draw(true), draw(predicted)
        counts = boundary_errors(pred, truth, num_classes=3)[-1, :, 0].sum(dim=0)
        assert counts.nonzero().flatten().tolist() == [CAUSES.index(cause)], (cause, counts)
        show(axis, paint(truth, (pred != truth, ORANGE)), cause.replace("_", " "))
        for label in (1, 2):
            if (pred == label).any():
                axis.contour(pred[0] == label, levels=[0.5], colors="black", linewidths=1.5)
    figure.legend(
        handles=[
            Patch(color=CLASSES[1], label="ground truth"),
            Patch(edgecolor="black", facecolor="none", label="prediction"),
            Patch(color=ORANGE, label="wrong pixels"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    save(figure, "metric_errors.png")


def scene_of_bands() -> tuple[Tensor, Tensor]:
    """Return ground truth and prediction (1, 60, 80) of an L-shaped house."""
    truth = draw([(1, 10, 12, 50, 66), (0, 10, 40, 28, 66)], size=(60, 80))
    pred = draw([(1, 11, 13, 52, 63), (0, 10, 44, 30, 66), (1, 15, 44, 20, 50)], size=(60, 80))
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij")
    corner = (rows - 50) ** 2 + (columns - 12) ** 2 < 81
    return truth, torch.where(corner[None], 0, pred)


def draw(rectangles: list[tuple[int, ...]], size: tuple[int, int] = (40, 40)) -> Tensor:
    """Return labels (1, H, W) of rectangles on class 0."""
    labels = torch.zeros(1, *size, dtype=torch.long)
    for label, top, left, bottom, right in rectangles:
        labels[:, top:bottom, left:right] = label
    return labels


def paint(truth: Tensor, *layers: tuple[Tensor, str]) -> np.ndarray:
    """Return an RGB picture (H, W, 3) of the labels in greys, with masks in colours on top."""
    picture = np.array([to_rgb(colour) for colour in CLASSES])[truth[0].numpy()]
    for mask, colour in layers:
        picture[mask[0].numpy()] = to_rgb(colour)
    return picture


def show(axis: Axes, picture: np.ndarray, title: str) -> None:
    """Show a picture without ticks."""
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def save(figure: pyplot.Figure, name: str) -> None:
    """Write the figure; the same versions give the same bytes."""
    figure.savefig(IMAGES / name, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
