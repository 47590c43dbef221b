"""The measures of one dataloader, image by image and for all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, TrimapIoU
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

    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, each giving one value a class."""
        common: dict[str, Any] = {
            "num_classes": self.num_classes,
            "ignore_index": self.ignore_index,
        }
        return {
            # IoU, F1 and accuracy all follow from the one matrix.
            "confusion": MulticlassConfusionMatrix(**common, validate_args=False),
            "boundary_iou": BoundaryIoU(
                **common,
                dilation_ratio=self.dilation_ratio,
                width=self.boundary_width,
                average=None,
            ),
            "boundary_f": BoundaryFMeasure(
                **common, tolerance=self.tolerance, void="removed", average=None
            ),
            "trimap_iou": TrimapIoU(**common, widths=self.trimap_widths, average=None),
        }


@dataclass
class Measured:
    """Figures of a dataset or an image: scalars by name, and values (K,) a class, NaN if none."""

    scalars: dict[str, Tensor]
    per_class: dict[str, Tensor]


@dataclass
class Measures:
    """Adds up one dataloader's images; the result does not depend on how they were shared out.

    Args:
        settings: What is measured.
        device: Where predictions will be.
    """

    settings: MeasureSettings
    device: torch.device
    metrics: dict[str, Metric] = field(init=False)
    names: list[str] = field(init=False, default_factory=list)
    numbers: list[int] = field(init=False, default_factory=list)
    rows: list[dict[str, Tensor]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = {
            name: metric.to(self.device) for name, metric in self.settings.metrics().items()
        }

    def update(self, labels: Tensor, mask: Tensor, name: str, number: int) -> None:
        """Adds one image: predicted labels and truth (H, W) int64, its name and its number."""
        pred, target = labels.unsqueeze(0), mask.unsqueeze(0)
        # Calling a metric adds the image and gives the image's own value in one go.
        values = {key: metric(pred, target) for key, metric in self.metrics.items()}
        self.rows.append(_measured(values, self.settings.trimap_widths).scalars)
        self.names.append(name)
        self.numbers.append(number)

    def compute(self) -> Measured:
        """Figures over all images of all processes; every process must call it."""
        values = {key: metric.compute() for key, metric in self.metrics.items()}
        return _measured(values, self.settings.trimap_widths)

    def images(self) -> list[dict[str, Any]]:
        """One row an image of this process: number, name and scalars."""
        if not self.rows:
            return []
        keys = list(self.rows[0])
        # One transfer for all images, not one for each value.
        table = torch.stack([torch.stack([row[key] for key in keys]) for row in self.rows]).tolist()
        return [
            {"number": number, "name": name, **dict(zip(keys, row, strict=True))}
            for number, name, row in zip(self.numbers, self.names, table, strict=True)
        ]


def _measured(values: dict[str, Tensor], widths: Sequence[int]) -> Measured:
    confusion = as_float64(values["confusion"])
    hits, truth, predicted = confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)
    per_class = {
        # A class in neither map is 0/0 = NaN and left out of the mean.
        "iou": hits / (truth + predicted - hits),
        "f1": 2 * hits / (truth + predicted),
        "boundary_iou": as_float64(values["boundary_iou"]),
        "boundary_f": as_float64(values["boundary_f"]),
    }
    trimaps = as_float64(values["trimap_iou"])
    per_class |= {f"trimap_iou/{w}": row for w, row in zip(widths, trimaps, strict=True)}
    scalars = {name: row.nanmean() for name, row in per_class.items()}
    return Measured({"accuracy": hits.sum() / confusion.sum(), **scalars}, per_class)
