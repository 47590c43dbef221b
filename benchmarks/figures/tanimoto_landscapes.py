"""Pictures how Dice and Tanimoto losses descend: figures 3 to 5 of the ResUNet-a paper.

    python benchmarks/figures/tanimoto_landscapes.py [--output docs/images] [--resolution 161]

Diakogiannis et al. (2020), section 3.2.2: a vector of two probabilities p = (p_x, p_y) in the unit
square, and a fixed ground truth l, the black dot. Drawn are the flow of gradient descent over the
length of the gradient (the darker, the steeper), and the Laplacian, the sum of both second
derivatives of the loss (red where it is positive).
Losses are one minus the coefficients D1, D2 (two forms of Dice) and D3 (Tanimoto), equations 1 to
3, without and with their complement (equation 4, written with a tilde). They are this project's
own `TanimotoFormula`, differentiated twice by autograd in double precision.
"""

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from lightning_seg.losses.tanimoto_formula import Coefficient, TanimotoFormula

Loss = tuple[Coefficient, bool]
NAMES: dict[Coefficient, str] = {"D1": "D_1", "D2": "D_2", "D3": "D_3"}
# Ground truth and losses of each figure, and whether it has a row of Laplacians.
FIGURES: dict[int, tuple[tuple[float, float], list[Loss], bool]] = {
    3: ((1.0, 0.0), [(d, c) for d in NAMES for c in (False, True)], True),
    4: ((0.25, 0.85), [("D3", False), ("D3", True)], True),
    5: ((0.5, 0.5), [("D1", False), ("D2", False), ("D3", True)], False),
}
CELL = 2.6


def formula(loss: Loss) -> TanimotoFormula:
    """The loss of a single class: no weights, and nothing added to the quotient."""
    coefficient, complement = loss
    return TanimotoFormula(complement, volume_weights=None, smooth=0.0, coefficient=coefficient)


def landscape(loss: Loss, points: Tensor, truth: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Gradient (N, 2) and Laplacian (N,) of a loss at points p (N, 2), in float64.

    Each point is an image of one class and two pixels; a batch's loss is the mean of its images.
    """
    points = points.detach().to(torch.float64, copy=True).requires_grad_()
    images = points.view(-1, 1, 1, 2)
    target = torch.tensor(truth, dtype=torch.float64).expand_as(images)
    total = len(points) * formula(loss)(images, target, torch.ones(len(points), 1, 2).bool())
    (gradient,) = torch.autograd.grad(total, points, create_graph=True)
    laplacian = torch.zeros(len(points), dtype=torch.float64)
    for axis in (0, 1):
        (second,) = torch.autograd.grad(gradient[:, axis].sum(), points, retain_graph=True)
        laplacian += second[:, axis]
    return gradient.detach(), laplacian


def grid(resolution: int) -> Tensor:
    """Points of the unit square (resolution ** 2, 2), row by row from below; not its corners.

    Where prediction and target do not overlap and one of them is empty, D1 to D3 are 0 / 0.
    """
    along = torch.linspace(1e-3, 1 - 1e-3, resolution, dtype=torch.float64)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def name_of(loss: Loss) -> str:
    """The loss's name as in the paper."""
    coefficient, complement = loss
    symbol = (
        rf"\tilde{{{NAMES[coefficient][0]}}}{NAMES[coefficient][1:]}"
        if complement
        else NAMES[coefficient]
    )
    kind = "Tanimoto" if coefficient == "D3" else "Dice"
    return f"${symbol}$, {kind}" + (" with complement" if complement else "")


def draw_flow(axes: Axes, along: np.ndarray, gradient: np.ndarray) -> None:
    """Descent over the length of the gradient, both (n, n, 2)."""
    length = np.linalg.norm(gradient, axis=-1)
    axes.contourf(along, along, length, levels=16, cmap="YlGnBu")
    axes.contour(along, along, length, levels=16, colors="0.4", linewidths=0.3)
    axes.streamplot(
        along, along, -gradient[..., 0], -gradient[..., 1],
        color="black", linewidth=0.7, arrowsize=0.7, density=0.9,
    )  # fmt: skip


def draw_laplacian(axes: Axes, along: np.ndarray, laplacian: np.ndarray) -> None:
    """Laplacians (n, n), the sign by colour."""
    limit = float(np.quantile(np.abs(laplacian), 0.98)) or 1.0
    levels = np.linspace(-limit, limit, 23)
    axes.contourf(along, along, laplacian, levels=levels, cmap="RdBu_r", extend="both")
    axes.contour(along, along, laplacian, levels=levels, colors="0.4", linewidths=0.3)


def draw(number: int, resolution: int) -> plt.Figure:
    """One figure of the paper."""
    truth, losses, with_laplacian = FIGURES[number]
    rows = 2 if with_laplacian else 1
    size = (CELL * len(losses) + 0.5, CELL * rows + 0.4)
    figure, axes = plt.subplots(
        rows, len(losses), figsize=size, squeeze=False, sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    points = grid(resolution)
    along = np.linspace(1e-3, 1 - 1e-3, resolution)
    for column, loss in enumerate(losses):
        gradient, laplacian = landscape(loss, points, truth)
        draw_flow(axes[0, column], along, gradient.view(resolution, resolution, 2).numpy())
        axes[0, column].set_title(name_of(loss), fontsize=9)
        if with_laplacian:
            draw_laplacian(axes[1, column], along, laplacian.view(resolution, -1).numpy())
    for axis in axes.flat:
        axis.plot(*truth, "o", color="black", markeredgecolor="white", clip_on=False, zorder=5)
        axis.set(aspect="equal", xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axis in axes[-1]:
        axis.set_xlabel("$p_x$")
    for axis, name in zip(axes[:, 0], ("gradient flow", "Laplacian")):
        axis.set_ylabel(f"{name}\n$p_y$")
    return figure


def save(figure: plt.Figure, path: Path, dpi: int) -> None:
    """Writes a PNG of 256 colours, a third as large as one of all."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=dpi)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--figures", type=int, nargs="+", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--resolution", type=int, default=161, help="points along an axis")
    parser.add_argument("--dpi", type=int, default=100)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for number in options.figures:
        path = options.output / f"tanimoto_landscapes_{number}.png"
        save(draw(number, options.resolution), path, options.dpi)
        print(path)


if __name__ == "__main__":
    main()
