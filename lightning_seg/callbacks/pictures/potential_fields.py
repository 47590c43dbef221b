"""Pictures of the potential fields of equipotential learning."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from lightning_seg.callbacks.classes import IgnoreIndex, find_classes
from lightning_seg.callbacks.extractors import ExtractorLike
from lightning_seg.callbacks.pictures.chosen_samples import ChosenSample, ChosenSamples
from lightning_seg.callbacks.pictures.picture_maps import (
    boundary_band,
    class_probabilities,
    hatched,
    is_class,
    paint,
)
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    class_patches,
    draw_sheet,
    map_cell,
    picture_cell,
)
from lightning_seg.errors import InputError
from lightning_seg.losses import EquipotentialLineLoss, PointLoss
from lightning_seg.losses.potential import Padding, Splitter, anisotropic_convolution, sweeps_of

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

_DIRECTIONS = {
    "A": ("up", "down", "left", "right"),
    "B": ("up left", "down right", "up right", "down left"),
    "standard": ("around",),
}
_DIRECTIONS["C"] = _DIRECTIONS["A"] + _DIRECTIONS["B"]
_COLUMNS = 4


@dataclass(frozen=True)
class _Convolution:
    """Settings of the anisotropic convolution, with the losses' defaults."""

    kernel_size: int = 7
    splitter: Splitter = "A"
    padding: Padding = "replicate"


class PotentialFields(ChosenSamples):
    """Draw a class's potential fields for a few samples (Yin et al. 2022, figures 4, 6 and 8).

    The first row shows the image, the ground truth and the class's probability. Below, each
    direction has the field of the ground truth, the field of the prediction, and their difference.
    Pixels beyond the class's reach are white, pixels deep inside it are grey. Each equipotential
    line between them, with an integer potential from 1 to r, has its own colour. Unlabelled pixels
    have no potential and are hatched.
    Pictures are saved in ``pictures/val_potential_fields`` and ``pictures/test_potential_fields``.

    Args:
        class_name: The class; by default, in each image, the class with the longest boundary.
        crop_size: Side in pixels of the crop that is shown, which is the one with the most of the
            class's boundary; None shows the whole image.
        kernel_size: Odd width of the convolution; by default that of the module's `PointLoss` or
            `EquipotentialLineLoss`, or 7.
        splitter: Directions: ``A``, ``B``, ``C`` or ``standard``; by default that of the module's
            `PointLoss` or `EquipotentialLineLoss`, or ``A``.

    Raises:
        ValueError: ``kernel_size`` is even, or ``splitter`` is unknown.
        InputError: ``crop_size`` is below 1. (in setup) ``class_name`` is not a class. (in a step)
            Predictions are labels, which have no probabilities.
    """

    kind: ClassVar[str] = "_potential_fields"

    def __init__(
        self,
        class_name: str | None = None,
        crop_size: int | None = 128,
        kernel_size: int | None = None,
        splitter: Splitter | None = None,
        num_images: int = 4,
        every_n_epochs: int = 1,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: IgnoreIndex = "auto",
    ) -> None:
        super().__init__(
            num_images, every_n_epochs, num_classes, extractor, class_names, ignore_index
        )
        sweeps_of(kernel_size or 7, splitter or "A")
        if crop_size is not None and crop_size < 1:
            raise InputError(f"crop_size is {crop_size}. Set it to 1 or more, or null.")
        self.class_name = class_name
        self.crop_size = crop_size
        self.kernel_size = kernel_size
        self.splitter = splitter

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look up the run's folder, the classes and the class to draw."""
        super().setup(trainer, pl_module, stage)
        if stage == "predict":
            return
        self._class: int | None = None
        if self.class_name is not None:
            (self._class,) = find_classes([self.class_name], self._names, "class_name")

    @torch.no_grad()
    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """Draw the sheet of one sample."""
        if sample.scores is None:
            raise InputError(
                f"PotentialFields needs class scores, but {type(pl_module).__name__} predicts "
                "labels only. Return scores (B, K, H, W) from its step, or remove the callback."
            )
        convolution = self._convolution(pl_module)
        k = (
            _longest_boundary(sample.truth, self._num_classes)
            if self._class is None
            else self._class
        )
        valid = is_class(sample.truth, self._num_classes)
        truth = (sample.truth == k).astype(np.float32)
        probability = class_probabilities(sample.scores)[0, k].cpu().numpy()
        fields = [
            anisotropic_convolution(
                torch.from_numpy(class_map * valid)[None, None],
                convolution.kernel_size,
                convolution.splitter,
                convolution.padding,
            )[:, 0, 0].numpy()
            for class_map in (truth, probability)
        ]
        top, left, height, width = part = self._part(sample.truth, k)
        cut = np.s_[..., top : top + height, left : left + width]
        rows = [self._given(sample, k, probability, part)]
        shown = [field[cut] for field in fields]
        rows += _field_rows(shown, ~valid[cut], convolution)
        legend = class_patches(sample.truth, sample.labels, self._names, self._colors)
        title = f"{sample.title}: {self._names[k]}"
        return draw_sheet(title, rows, [legend], height / width, _COLUMNS)

    def _convolution(self, module: LightningModule) -> _Convolution:
        losses = [m for m in module.modules() if isinstance(m, PointLoss | EquipotentialLineLoss)]
        loss = losses[0] if losses else _Convolution()
        return _Convolution(
            self.kernel_size or loss.kernel_size, self.splitter or loss.splitter, loss.padding
        )

    def _part(self, truth: NDArray[np.integer], k: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width of the crop with the most of a class's boundary."""
        height, width = truth.shape
        if self.crop_size is None:
            return 0, 0, height, width
        tall, wide = min(self.crop_size, height), min(self.crop_size, width)
        boundary = _own_boundary(truth, self._num_classes, k).astype(np.float32)
        sums = cv2.boxFilter(boundary, -1, (wide, tall), anchor=(0, 0), normalize=False,
                             borderType=cv2.BORDER_CONSTANT)  # fmt: skip
        inside = sums[: height - tall + 1, : width - wide + 1]
        # Among equally good positions, take the most central one.
        best = np.argwhere(inside == inside.max())
        top, left = best[np.abs(best - best.mean(axis=0)).sum(axis=1).argmin()]
        return int(top), int(left), tall, wide

    def _given(
        self,
        sample: ChosenSample,
        k: int,
        probability: NDArray[np.floating],
        part: tuple[int, int, int, int],
    ) -> Row:
        top, left, height, width = part
        cut = np.s_[top : top + height, left : left + width]
        image = sample.rgb
        return Row(
            [
                Cell("image", partial(_show_part, image=image, part=part)),
                picture_cell("part of it", image[cut]),
                picture_cell("ground truth", paint(sample.truth, self._colors)[cut]),
                map_cell(
                    f"probability of {self._names[k]}", probability[cut], "gray", {0: "0", 1: "1"}
                ),
            ]
        )


def _field_rows(
    fields: list[NDArray[np.floating]], void: NDArray[np.bool_], convolution: _Convolution
) -> list[Row]:
    """Return three rows per four directions: ground truth, prediction, difference."""
    names = _DIRECTIONS[convolution.splitter]
    levels = convolution.kernel_size // 2
    rows = []
    for first in range(0, len(names), _COLUMNS):
        some = range(first, min(first + _COLUMNS, len(names)))
        for kind, field in zip(("ground truth", "prediction"), fields, strict=True):
            cells: list[Cell | None] = [
                Cell(
                    f"{kind}, {names[number]}",
                    partial(_show_field, field=field[number], void=void, levels=levels),
                    partial(_field_scale, levels=levels),
                )
                for number in some
            ]
            rows.append(Row(cells))
        difference = np.abs(fields[0] - fields[1])
        labels: dict[float, str] = {0: "0", levels + 1: str(levels + 1)}
        cells = [
            map_cell(
                f"difference, {names[number]}: mean {_mean(difference[number], ~void):.3f}",
                difference[number],
                "magma",
                labels,
            )
            for number in some
        ]
        rows.append(Row(cells))
    return rows


def _mean(values: NDArray[np.floating], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def _longest_boundary(truth: NDArray[np.integer], num_classes: int) -> int:
    edges = truth[boundary_band(truth, num_classes, 1)]
    return int(np.bincount(edges.astype(np.int64), minlength=num_classes).argmax())


def _own_boundary(truth: NDArray[np.integer], num_classes: int, k: int) -> NDArray[np.bool_]:
    inside = np.where(is_class(truth, num_classes), truth == k, -1)
    return boundary_band(inside, 2, 1)


def _line_colors(levels: int) -> "ListedColormap":
    """Return a colour map: white outside, one colour per line, grey inside."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    lines = colormaps["turbo"](np.linspace(0.08, 0.92, levels)) if levels > 1 else ["tab:red"]
    return ListedColormap(["white", *lines, "0.55"])


def _show_field(
    axis: "Axes", field: NDArray[np.floating], void: NDArray[np.bool_], levels: int
) -> None:
    # Potentials are rounded, so uncertain predictions give wide lines.
    nearest = field.round().clip(0, levels + 1).astype(np.int64)
    painted = (_line_colors(levels)(nearest)[..., :3] * 255).round().astype(np.uint8)
    axis.imshow(hatched(painted, void), interpolation="nearest")


def _field_scale(bar: "Axes", levels: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(-0.5, levels + 1.5), _line_colors(levels))
    bar.figure.colorbar(scale, cax=bar, ticks=range(levels + 2))
    names = ["outside", *(f"line {level}" for level in range(1, levels + 1)), "inside"]
    bar.set_yticklabels(names, fontsize=11)


def _show_part(axis: "Axes", image: NDArray[np.uint8], part: tuple[int, int, int, int]) -> None:
    from matplotlib.patches import Rectangle

    top, left, height, width = part
    axis.imshow(image)
    for color, line in (("black", 4.0), ("white", 2.0)):
        frame = (left - 0.5, top - 0.5), width, height
        axis.add_patch(Rectangle(*frame, fill=False, edgecolor=color, linewidth=line))
