"""The measures of one dataloader, image by image and for all of it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_seg.callbacks.region_scores import accuracy, matthews, micro_matthews, region_scores
from lightning_seg.metrics import (
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    SurfaceDistance,
    TrimapIoU,
)
from lightning_seg.metrics.functional.ratios import as_float64


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured and how; see `BoundaryMetrics` for the meaning."""

    num_classes: int
    ignore_index: int | None = 255
    dilation_ratio: float = 0.02
    boundary_width: int | None = None
    trimap_widths: tuple[int, ...] = (1, 2, 3, 5, 10)
    tolerance: float = 0.008
    curve_tolerances: tuple[int, ...] = (1, 2, 3, 5, 10)
    surface_distances: bool = True
    excluded_classes: tuple[int, ...] = ()

    def metrics(self, thorough: bool) -> dict[str, Metric]:
        """Fresh metrics by name, each giving one value a class."""
        common: dict[str, Any] = {
            "num_classes": self.num_classes,
            "ignore_index": self.ignore_index,
        }
        per_class = common | {"average": None}
        contour = per_class | {"void": "removed"}
        metrics: dict[str, Metric] = {
            # All region scores follow from the one matrix.
            "confusion": MulticlassConfusionMatrix(**common, validate_args=False),
            "boundary_iou": BoundaryIoU(
                **per_class, dilation_ratio=self.dilation_ratio, width=self.boundary_width
            ),
            "boundary_f": BoundaryFMeasure(**contour, tolerance=self.tolerance, score="all"),
            "trimap_iou": TrimapIoU(**per_class, widths=self.trimap_widths, region="both"),
        }
        if not thorough:
            return metrics
        metrics["boundary_f_pooled"] = BoundaryFMeasure(
            **contour, tolerance=self.tolerance, score="all", pooled=True
        )
        for tolerance in self.curve_tolerances:
            metrics[f"boundary_f/{tolerance}"] = BoundaryFMeasure(**contour, tolerance=tolerance)
        metrics["e_measure"] = EMeasure(**per_class)
        if self.surface_distances:
            metrics["surface_distance"] = SurfaceDistance(**per_class, measure="both")
        return metrics


@dataclass
class Measured:
    """Figures of a dataset or an image.

    Attributes:
        scalars: By name; means over classes are without NaN and without excluded classes.
        per_class: Values (K,) by name, NaN if none.
        confusion: Pixels (K, K), rows are the truth.
    """

    scalars: dict[str, Tensor]
    per_class: dict[str, Tensor]
    confusion: Tensor


@dataclass
class Measures:
    """Adds up one dataloader's images; the result does not depend on how they were shared out.

    Args:
        settings: What is measured.
        device: Where predictions will be.
        thorough: Measure also what costs more or is of interest only in the end, and keep each
            image's confusion matrix.
    """

    settings: MeasureSettings
    device: torch.device
    thorough: bool = False
    metrics: dict[str, Metric] = field(init=False)
    names: list[str] = field(init=False, default_factory=list)
    numbers: list[int] = field(init=False, default_factory=list)
    rows: list[dict[str, Tensor]] = field(init=False, default_factory=list)
    confusions: list[Tensor] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        metrics = self.settings.metrics(self.thorough)
        self.metrics = {name: metric.to(self.device) for name, metric in metrics.items()}

    def update(self, labels: Tensor, mask: Tensor, name: str, number: int) -> None:
        """Adds one image: predicted labels and truth (H, W) int64, its name and its number."""
        pred, target = labels.unsqueeze(0), mask.unsqueeze(0)
        # Calling a metric adds the image and gives the image's own value in one go.
        values = {key: metric(pred, target) for key, metric in self.metrics.items()}
        measured = _measured(values, self.settings)
        self.rows.append(measured.scalars)
        self.names.append(name)
        self.numbers.append(number)
        if self.thorough:
            self.confusions.append(measured.confusion)

    def compute(self) -> Measured:
        """Figures over all images of all processes; every process must call it."""
        values = {key: metric.compute() for key, metric in self.metrics.items()}
        return _measured(values, self.settings)

    def images(self) -> list[dict[str, Any]]:
        """One row an image of this process: number, name, scalars and, if kept, ``confusion``."""
        if not self.rows:
            return []
        keys = list(self.rows[0])
        # One transfer for all images, not one for each value.
        table = torch.stack([torch.stack([row[key] for key in keys]) for row in self.rows]).tolist()
        images: list[dict[str, Any]] = [
            {"number": number, "name": name, **dict(zip(keys, row, strict=True))}
            for number, name, row in zip(self.numbers, self.names, table, strict=True)
        ]
        for image, confusion in zip(images, self.confusions):
            image["confusion"] = confusion.cpu().numpy()
        return images


def _measured(values: dict[str, Tensor], settings: MeasureSettings) -> Measured:
    confusion = values["confusion"]
    per_class = region_scores(confusion)
    if "e_measure" in values:
        per_class["e_measure"] = values["e_measure"]
    per_class["boundary_iou"] = values["boundary_iou"]
    per_class |= _contour_scores(values["boundary_f"], "")
    if "boundary_f_pooled" in values:
        per_class |= _contour_scores(values["boundary_f_pooled"], "_pooled")
    if "surface_distance" in values:
        per_class["surface_distance"], per_class["hausdorff95"] = values["surface_distance"]
    for region, rows in zip(("trimap_iou", "interior_iou"), values["trimap_iou"], strict=True):
        named = zip(settings.trimap_widths, rows, strict=True)
        per_class |= {f"{region}/{width}": row for width, row in named}
    per_class |= {name: row for name, row in values.items() if name.startswith("boundary_f/")}

    per_class = {name: as_float64(row) for name, row in per_class.items()}
    kept = [k for k in range(settings.num_classes) if k not in settings.excluded_classes]
    scalars = {"accuracy": accuracy(confusion), "mcc": matthews(confusion)}
    if "boundary_f_pooled" in values:
        scalars["mcc_micro"] = micro_matthews(confusion)
    scalars |= {name: row[kept].nanmean() for name, row in per_class.items()}
    return Measured(scalars, per_class, confusion)


def _contour_scores(rows: Tensor, suffix: str) -> dict[str, Tensor]:
    names = ("boundary_f", "boundary_precision", "boundary_recall")
    return {f"{name}{suffix}": row for name, row in zip(names, rows, strict=True)}
