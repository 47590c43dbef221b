"""All metrics of one dataloader, per image and over the whole dataset."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MultilabelConfusionMatrix

from lightning_seg.callbacks.metrics.confusion_matrix import ConfusionMatrix
from lightning_seg.callbacks.metrics.merged_classes import (
    VOID,
    Group,
    MergedClass,
    PooledClasses,
    region_rows,
)
from lightning_seg.errors import InputError
from lightning_seg.metrics import (
    BoundaryErrors,
    BoundaryFMeasure,
    BoundaryIoU,
    EMeasure,
    MultiLabelMetric,
    SurfaceDistance,
    TrimapIoU,
)
from lightning_seg.metrics.functional.ratios import as_float64
from lightning_seg.metrics.functional.region_scores import (
    accuracy,
    matthews,
    micro_matthews,
    scores_of_margins,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Counts per image and class; those of the trimaps are added by width.
REGION_COUNTS = ("intersection", "truth", "predicted")
BOUNDARY_COUNTS = (
    "boundary_intersection",
    "boundary_union",
    "contour_predicted",
    "contour_predicted_matched",
    "contour_truth",
    "contour_truth_matched",
)


@dataclass(frozen=True)
class MetricSettings:
    """Settings of all metrics, see `BoundaryMetrics`."""

    num_classes: int
    ignore_index: int | None = 255
    dilation_ratio: float = 0.02
    boundary_width: int | None = None
    trimap_widths: tuple[int, ...] = (1, 2, 3, 5, 10)
    tolerance: float = 0.008
    curve_tolerances: tuple[int, ...] = (1, 2, 3, 5, 10)
    surface_distances: bool = True
    boundary_errors: bool = True
    excluded_classes: tuple[int, ...] = ()
    merged: tuple[MergedClass, ...] = ()
    pooled: tuple[PooledClasses, ...] = ()
    multi_label: bool = False

    def metrics(self, thorough: bool) -> dict[str, Metric]:
        """Fresh metrics by name, each giving one value a class."""
        common: dict[str, Any] = {
            "num_classes": 2 if self.multi_label else self.num_classes,
            "ignore_index": self.ignore_index,
        }
        metrics: dict[str, Metric] = {
            **self._boundary_metrics(**common, thorough=thorough),
            "trimap_iou": TrimapIoU(
                **common, average=None, widths=self.trimap_widths, region="both"
            ),
        }
        if thorough and self.boundary_errors and not self.multi_label:
            metrics["boundary_errors"] = BoundaryErrors(
                **common, widths=self.trimap_widths, normalize=False
            )
        contour = common | {"average": None, "void": "removed"}
        for tolerance in self.curve_tolerances if thorough else ():
            metrics[f"boundary_f/{tolerance}"] = BoundaryFMeasure(**contour, tolerance=tolerance)
        if self.multi_label:
            metrics = {n: MultiLabelMetric(one, self.num_classes) for n, one in metrics.items()}
        # All region scores follow from the one matrix.
        matrix = MultilabelConfusionMatrix if self.multi_label else ConfusionMatrix
        settings: dict[str, Any] = {"ignore_index": self.ignore_index, "validate_args": False}
        return {"confusion": matrix(self.num_classes, **settings), **metrics}

    def merged_metrics(self) -> dict[str, Metric]:
        """Fresh metrics of a merged class against the rest, for the thorough measurement."""
        return self._boundary_metrics(num_classes=2, ignore_index=VOID, thorough=True)

    def _boundary_metrics(self, thorough: bool, **common: Any) -> dict[str, Metric]:
        common |= {"average": None}
        contour = common | {"void": "removed", "tolerance": self.tolerance, "score": "all"}
        band: dict[str, Any] = {
            "dilation_ratio": self.dilation_ratio,
            "width": self.boundary_width,
        }
        metrics: dict[str, Metric] = {
            "boundary_iou": BoundaryIoU(**common, **band),
            "boundary_f": BoundaryFMeasure(**contour),
        }
        if thorough:
            metrics["boundary_f_pooled"] = BoundaryFMeasure(**contour, pooled=True)
            metrics["e_measure"] = EMeasure(**common)
            if self.surface_distances:
                metrics["surface_distance"] = SurfaceDistance(**common, measure="both")
        return metrics

    @property
    def groups(self) -> tuple[Group, ...]:
        """Merged classes, then pooled ones."""
        return (*self.merged, *self.pooled)


@dataclass
class Results:
    """Scores of a dataset or an image.

    Attributes:
        scalars: By name; means over classes are without NaN and without excluded classes.
        per_class: Values (K,) by name, NaN if none.
        confusion: Pixels (K, K), rows are ground truth; (K, 2, 2) for several labels per pixel.
        merged: Values by name of each merged and each pooled class, NaN if none.
        errors: Counts (W, K, 2, C) of `BoundaryErrors` for the trimap's widths, if counted.
    """

    scalars: dict[str, Tensor]
    per_class: dict[str, Tensor]
    confusion: Tensor
    merged: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    errors: Tensor | None = None

    def rows(self, class_names: Sequence[str]) -> list[dict[str, str | float | None]]:
        """Return a row of scores for each class and then for each merged class, by column.

        The first column is ``class``. A score is None if there is no value.
        """
        columns = {key: values.tolist() for key, values in self.per_class.items()}
        scores = [
            (name, {key: column[k] for key, column in columns.items()})
            for k, name in enumerate(class_names)
        ]
        scores += [
            (name, {key: row[key].item() if key in row else math.nan for key in columns})
            for name, row in self.merged.items()
        ]
        return [
            {"class": name, **{key: None if math.isnan(v) else v for key, v in row.items()}}
            for name, row in scores
        ]


@dataclass
class MetricSet:
    """Accumulate the images of one dataloader; bit-exact on any number of processes.

    Args:
        settings: Which metrics are computed, and how.
        device: Where predictions will be.
        thorough: Also compute metrics that are expensive or of interest only after training, and
            keep each image's confusion matrix and counts.
        additional: Additional metrics by name; clones of them are used. Each returns one value per
            class, (K,), or a scalar.
    """

    settings: MetricSettings
    device: torch.device
    thorough: bool = False
    additional: Mapping[str, Metric] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(init=False)
    names: list[str] = field(init=False, default_factory=list)
    numbers: list[int] = field(init=False, default_factory=list)
    rows: list[dict[str, Tensor]] = field(init=False, default_factory=list)
    confusions: list[Tensor] = field(init=False, default_factory=list)
    counts: list[Tensor] = field(init=False, default_factory=list)
    merged: dict[str, dict[str, Metric]] = field(init=False)
    merged_counts: list[dict[str, Tensor]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        settings, thorough = self.settings, self.thorough
        metrics = settings.metrics(thorough)
        if taken := sorted(set(self.additional) & set(metrics)):
            raise InputError(f"metrics names {taken[0]!r}, which is measured already; rename it.")
        for name, metric in self.additional.items():
            metrics[name] = metric.clone()
            metrics[name].reset()  # the module may use the given one itself
        self.metrics = self._on_device(metrics)
        self.merged = {
            group.name: self._on_device(settings.merged_metrics())
            for group in (settings.merged if thorough else ())
        }

    def _on_device(self, metrics: dict[str, Metric]) -> dict[str, Metric]:
        return {name: metric.to(self.device) for name, metric in metrics.items()}

    def add(self, labels: Tensor, masks: Tensor) -> None:
        """Add images, keeping nothing of each: predictions and ground truth (B, H, W) int64.

        With several labels per pixel they are (B, K, H, W).
        """
        small = self._small(labels, masks)
        for name, metric in self.metrics.items():
            if name not in self.additional:
                metric.update(*small)
                continue
            for pred, target in zip(labels.split(1), masks.split(1), strict=True):
                metric.update(pred, target)

    def update(self, labels: Tensor, mask: Tensor, name: str, number: int) -> None:
        """Add one image: predicted labels and ground truth (H, W) int64, its name and number.

        With several labels per pixel they are (K, H, W). Its scores are kept, and if ``thorough``
        its confusion matrix and counts, which takes longer than `add`.
        """
        pred, target = labels.unsqueeze(0), mask.unsqueeze(0)
        before = self._counted() if self.thorough else None
        # Calling a metric adds the image and returns the value of the image alone.
        small = self._small(pred, target)
        values = {
            key: metric(*((pred, target) if key in self.additional else small))
            for key, metric in self.metrics.items()
        }
        results = _results(values, self.settings, self.additional)
        self.rows.append(results.scalars)
        self.names.append(name)
        self.numbers.append(number)
        if before is None:
            return
        self.confusions.append(results.confusion)
        self.counts.append(self._counted() - before)
        self._update_merged(pred, target)

    def _small(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Return label maps as uint8 if all labels fit, so that not each metric converts them."""
        settings = self.settings
        highest = max(settings.num_classes, settings.ignore_index or 0)
        negative = (settings.ignore_index or 0) < 0
        if highest > 255 or negative or settings.multi_label:  # torchmetrics subtracts there
            return maps
        return tuple(labels.to(torch.uint8) for labels in maps)

    def _update_merged(self, pred: Tensor, target: Tensor) -> None:
        counts: dict[str, Tensor] = {}
        for group in self.settings.merged:
            metrics = self.merged[group.name]
            before = _boundary_counts(metrics)
            maps = group.maps(pred, target, self.settings.ignore_index)
            for metric in metrics.values():
                metric.update(*maps)
            counts[group.name] = (_boundary_counts(metrics) - before)[:, 1]
        self.merged_counts.append(counts)

    def compute(self) -> Results:
        """Return the scores over all images of all processes; every process must call it."""
        values = {key: metric.compute() for key, metric in self.metrics.items()}
        results = _results(values, self.settings, self.additional)
        for name, metrics in self.merged.items():
            rows = {key: metric.compute() for key, metric in metrics.items()}
            results.merged[name] |= {key: row[1] for key, row in _boundary_scores(rows).items()}
        return results

    def count_names(self) -> list[str]:
        """Return the names of the rows of an image's counts."""
        widths = sorted(set(self.settings.trimap_widths))
        bands = [f"trimap_{part}/{w}" for w in widths for part in ("intersection", "union")]
        return [*REGION_COUNTS, *BOUNDARY_COUNTS, *bands]

    def _counted(self) -> Tensor:
        """Return all counts so far (N, K) int64, in the order of `count_names`."""
        metrics: dict[str, Any] = self.metrics
        regions = torch.stack(_margins(metrics["confusion"].confmat))
        trimap = [_counts(metrics["trimap_iou"], name) for name in ("intersection", "union")]
        # The last level holds the pixels outside all bands.
        bands = torch.stack(trimap, dim=1).cumsum(dim=0)[:-1]
        return torch.cat([regions, _boundary_counts(metrics), bands.flatten(end_dim=1)])

    def images(self) -> list[dict[str, Any]]:
        """Return one row per image of this process: number, name and scalars.

        And, if they were kept, as NumPy arrays of int64: ``confusion`` (K, K), ``counts`` (N, K)
        with rows as in `count_names`, and ``merged_counts`` (without trimaps) by merged class.
        """
        if not self.rows:
            return []
        keys = list(self.rows[0])
        # One transfer for all images instead of one per value.
        table = torch.stack([torch.stack([row[key] for key in keys]) for row in self.rows]).tolist()
        images: list[dict[str, Any]] = [
            {"number": number, "name": name, **dict(zip(keys, row, strict=True))}
            for number, name, row in zip(self.numbers, self.names, table, strict=True)
        ]
        kept = zip(self.confusions, self.counts, self.merged_counts)
        for image, (confusion, counts, merged) in zip(images, kept):
            image["confusion"] = confusion.cpu().numpy()
            image["counts"] = counts.cpu().numpy()
            image["merged_counts"] = self._merged_counts(confusion, merged)
        return images

    def _merged_counts(
        self, confusion: Tensor, boundary: dict[str, Tensor]
    ) -> "dict[str, NDArray[np.int64]]":
        counts = {}
        for group in self.settings.groups:
            parts = [group.margins(confusion)]
            if group.name in boundary:
                parts.append(boundary[group.name].to(confusion.device))
            counts[group.name] = torch.cat(parts).cpu().numpy()
        return counts


def _boundary_counts(metrics: dict[str, Any]) -> Tensor:
    """Return the counts so far (6, K) int64 of boundary IoU and contours."""
    boundary = [_counts(metrics["boundary_iou"], name) for name in ("intersection", "union")]
    return torch.cat([torch.stack(boundary), _counts(metrics["boundary_f_pooled"], "counts")])


def _counts(metric: Any, name: str) -> Tensor:
    """Return a state of a metric by class, (..., K) int64."""
    state: Tensor = (
        metric.counts(name) if isinstance(metric, MultiLabelMetric) else getattr(metric, name)
    )
    return state


def _margins(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return correct, true and predicted pixels of each class, int64 (K,)."""
    if confusion.ndim == 3:
        return confusion[:, 1, 1], confusion[:, 1].sum(dim=1), confusion[:, :, 1].sum(dim=1)
    return confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)


def _over_all_pixels(confusion: Tensor) -> dict[str, Tensor]:
    """Return accuracy and Matthews correlations."""
    if confusion.ndim == 2:
        micro, mean, whole = micro_matthews(confusion), matthews(confusion), confusion
    else:  # each label is right or wrong at each pixel
        whole = confusion.sum(dim=0)
        micro, mean = matthews(whole), torch.stack([matthews(one) for one in confusion]).nanmean()
    return {"accuracy": accuracy(whole), "mcc": mean, "mcc_micro": micro}


def _results(
    values: dict[str, Tensor], settings: MetricSettings, additional: Collection[str] = ()
) -> Results:
    confusion = values["confusion"]
    regions = scores_of_margins(*(as_float64(counts) for counts in _margins(confusion)))
    per_class = regions | _boundary_scores(values)
    for region, rows in zip(("trimap_iou", "interior_iou"), values["trimap_iou"], strict=True):
        named = zip(settings.trimap_widths, rows, strict=True)
        per_class |= {f"{region}/{width}": row for width, row in named}
    per_class |= {name: row for name, row in values.items() if name.startswith("boundary_f/")}

    per_class |= {name: values[name] for name in additional if values[name].ndim == 1}
    per_class = {name: as_float64(row) for name, row in per_class.items()}
    kept = [k for k in range(settings.num_classes) if k not in settings.excluded_classes]
    scalars = _over_all_pixels(confusion)
    scalars |= {name: row[kept].nanmean() for name, row in per_class.items()}
    scalars |= {name: as_float64(values[name]) for name in additional if values[name].ndim == 0}
    merged: dict[str, dict[str, Tensor]] = {}
    if groups := settings.groups:
        rows = region_rows(groups, confusion)
        for number, group in enumerate(groups):
            merged[group.name] = {name: row[number] for name, row in rows.items()}
    return Results(scalars, per_class, confusion, merged, values.get("boundary_errors"))


def _boundary_scores(values: dict[str, Tensor]) -> dict[str, Tensor]:
    known: tuple[str, ...] = ("e_measure", "boundary_iou")
    scores = {name: values[name] for name in known if name in values}
    scores |= _contour_scores(values["boundary_f"], "")
    if "boundary_f_pooled" in values:
        scores |= _contour_scores(values["boundary_f_pooled"], "_pooled")
    if "surface_distance" in values:
        scores["surface_distance"], scores["hausdorff95"] = values["surface_distance"]
    return scores


def _contour_scores(rows: Tensor, suffix: str) -> dict[str, Tensor]:
    names = ("boundary_f", "boundary_precision", "boundary_recall", "surface_dice")
    return {f"{name}{suffix}": row for name, row in zip(names, rows, strict=True)}


def logged_name(name: str) -> str:
    """Return the name under which a score is logged.

    Names with a slash would be files in folders for some loggers, and ``boundary_f`` both.

    Example:
        >>> logged_name("trimap_iou/3")
        'trimap_iou_3px'
    """
    return re.sub(r"/(\d+)$", r"_\1px", name)
