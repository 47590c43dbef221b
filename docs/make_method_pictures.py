"""Draw docs/images/method_*.png: what a method sees in a drawn scene. Nothing is trained.

    python docs/make_method_pictures.py

The prediction is drawn as well: ground truth with frayed outlines, blurred.
"""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from lightning_seg.data.datasets.isprs import ISPRS_CLASSES
from lightning_seg.data.scenes import render_scene
from lightning_seg.losses import DistanceTransformLoss, anisotropic_convolution
from lightning_seg.targets import inner_distance, semantic_edges

IMAGES = Path(__file__).parent / "images"
GREEN, ORANGE, BLUE = "#009E73", "#D55E00", "#0072B2"
PALETTE = np.array(list(ISPRS_CLASSES.values())) / 255
TREE = list(ISPRS_CLASSES).index("tree")


def main() -> None:
    """Write the pictures of the methods whose pages show no trained network."""
    matplotlib.use("agg")
    truth = torch.from_numpy(render_scene(seed=5, size=192)[1][::2, ::2].astype(np.int64))[None]
    probabilities = drawn_prediction(truth)
    draw_semeda(truth, probabilities)
    draw_distance_transform(truth)
    draw_equipotential(truth, probabilities)


def drawn_prediction(truth: Tensor) -> Tensor:
    """Return probabilities (1, K, H, W) of labels (1, H, W), shifted at random and blurred."""
    rng = np.random.default_rng(0)
    height, width = truth.shape[1:]
    shifts = [cv2.GaussianBlur(rng.normal(0, 18, (height, width)), None, 2.5) for _ in range(2)]
    rows, columns = np.mgrid[:height, :width]
    labels = cv2.remap(
        truth[0].numpy().astype(np.uint8),
        (columns + shifts[0]).astype(np.float32),
        (rows + shifts[1]).astype(np.float32),
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    blurred = cv2.GaussianBlur(np.eye(len(PALETTE), dtype=np.float32)[labels], None, 1.5)
    return torch.from_numpy(blurred).permute(2, 0, 1)[None]


def draw_semeda(truth: Tensor, probabilities: Tensor) -> None:
    """Draw the edges of the labels, and those of the prediction beside them."""
    figure, axes = sheet()
    edges, predicted = (semantic_edges(m)[0] for m in (truth, probabilities.argmax(dim=1)))
    names = {"edge in both": GREEN, "in ground truth only": BLUE, "in prediction only": ORANGE}
    colours = np.array([to_rgb(colour) for colour in ("white", BLUE, ORANGE, GREEN)])
    show(axes[0], PALETTE[truth[0]], "ground truth")
    show(axes[1], np.where(edges[..., None], (0.0, 0.0, 0.0), 1.0), "its edges")
    blend = probabilities[0].permute(1, 2, 0).numpy() @ PALETTE
    show(axes[2], blend.clip(0, 1), "prediction")
    show(axes[3], colours[edges + 2 * predicted], "edges of both")
    legend(figure, truth, names)
    save(figure, "method_semeda.png")


def draw_distance_transform(truth: Tensor) -> None:
    """Draw distances, weights, and the gradient of an undecided prediction."""
    figure, axes = sheet()
    distance = inner_distance(truth, len(PALETTE))[0, 0]
    weight = torch.zeros_like(distance)
    for label in truth.unique():
        own = truth[0] == label
        deepest, shallowest = distance[own].max(), distance[own].min()
        weight[own] = (deepest - distance[own]) / (deepest - shallowest)
    logits = torch.zeros(1, len(PALETTE), *truth.shape[1:], requires_grad=True)
    [gradient] = torch.autograd.grad(DistanceTransformLoss()(logits, truth), logits)
    strength = gradient[0].abs().sum(dim=0)
    show(axes[0], PALETTE[truth[0]], "ground truth")
    show_scale(axes[1], distance, "distance to the outline, px")
    show_scale(axes[2], weight, "weight")
    show_scale(axes[3], strength / strength.mean(), "gradient, relative to its mean")
    legend(figure, truth, {})
    save(figure, "method_distance_transform.png")


def draw_equipotential(truth: Tensor, probabilities: Tensor) -> None:
    """Draw the potential of trees to the right, of the labels and of the prediction."""
    figure, axes = sheet()
    part = np.s_[..., 48:84, 60:96]
    labels = (truth == TREE).float()[:, None]
    right = 3  # after up, down and left
    wanted, predicted = (
        anisotropic_convolution(m, kernel_size=7)[right, 0, 0][part]
        for m in (labels, probabilities[:, TREE, None])
    )
    names = {
        "potential 0, outside": "#ffffff",
        "1": "#fdbb84",
        "2": "#ef6548",
        "3": "#990000",
        "4, deep inside": "#8c8c8c",
    }
    colours = np.array([to_rgb(colour) for colour in names.values()])
    show(axes[0], PALETTE[truth[0][part]], "ground truth")
    show(axes[1], colours[wanted.round().int()], "potential to the right")
    show(axes[2], colours[predicted.round().int()], "that of the prediction")
    show_scale(axes[3], (wanted - predicted).abs(), "difference")
    legend(figure, truth[part], names)
    save(figure, "method_equipotential.png")


def sheet() -> tuple[Figure, list[Axes]]:
    """Return a figure with four axes in a row, without ticks."""
    figure, axes = pyplot.subplots(1, 4, figsize=(9, 2.9))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.2, top=0.95, wspace=0.06)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, list(axes)


def show(axis: Axes, picture: np.ndarray | Tensor, title: str) -> None:
    """Show an RGB picture (H, W, 3)."""
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=10)


def show_scale(axis: Axes, values: Tensor, title: str) -> None:
    """Show values (H, W) from 0 upward, with their scale below."""
    image = axis.imshow(values, cmap="magma", vmin=0, interpolation="nearest")
    axis.set_title(title, fontsize=10)
    bar = axis.inset_axes((0.05, -0.09, 0.9, 0.05))
    axis.figure.colorbar(image, cax=bar, orientation="horizontal")
    bar.tick_params(labelsize=8)


def legend(figure: Figure, truth: Tensor, more: dict[str, str]) -> None:
    """Name the classes in the labels, and further colours, below the panels."""
    names = list(ISPRS_CLASSES)
    classes = {names[label]: PALETTE[label] for label in truth.unique().tolist()}
    top = 0.08 if any(axis.child_axes for axis in figure.axes) else 0.19
    for row, colours in enumerate(filter(None, (classes, more))):
        figure.legend(
            handles=[
                Patch(facecolor=colour, edgecolor="#666666", linewidth=0.5, label=name)
                for name, colour in colours.items()
            ],
            loc="upper center",
            bbox_to_anchor=(0.5, top - 0.08 * row),
            ncols=6,
            fontsize=10,
            frameon=False,
        )


def save(figure: Figure, name: str) -> None:
    """Write the figure; the same versions give the same bytes."""
    figure.savefig(
        IMAGES / name, dpi=100, bbox_inches="tight", pad_inches=0.05, metadata={"Software": None}
    )
    pyplot.close(figure)


if __name__ == "__main__":
    main()
