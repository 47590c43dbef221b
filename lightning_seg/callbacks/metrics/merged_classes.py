"""Several classes measured as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_seg.errors import InputError
from lightning_seg.metrics import BoundaryFMeasure, BoundaryIoU, EMeasure, SurfaceDistance
from lightning_seg.metrics.functional.ratios import as_float64
from lightning_seg.metrics.functional.region_scores import scores_of_margins

# Of the maps that hold the merged class (1), all others (0) and void.
_VOID = 255


@dataclass(frozen=True)
class MergedClass:
    """A union of classes: pixels taken for another class of the same union are right."""

    name: str
    classes: tuple[int, ...]

    def maps(self, labels: Tensor, mask: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
        """Prediction and truth as 1 for the union, 0 for other classes and 255 for void."""
        members = torch.tensor(self.classes, device=labels.device)
        pred, truth = (torch.isin(one, members).long() for one in (labels, mask))
        return pred, truth if ignore_index is None else truth.masked_fill(
            mask == ignore_index, _VOID
        )

    def metrics(
        self, dilation_ratio: float, width: int | None, tolerance: float, surface_distances: bool
    ) -> dict[str, Metric]:
        """Fresh metrics of boundaries; those of regions follow from the confusion matrix."""
        common: dict[str, Any] = {"num_classes": 2, "ignore_index": _VOID, "average": None}
        contour = common | {"void": "removed", "tolerance": tolerance, "score": "all"}
        metrics: dict[str, Metric] = {
            "boundary_iou": BoundaryIoU(**common, dilation_ratio=dilation_ratio, width=width),
            "boundary_f": BoundaryFMeasure(**contour),
            "boundary_f_pooled": BoundaryFMeasure(**contour, pooled=True),
            "e_measure": EMeasure(**common),
        }
        if surface_distances:
            metrics["surface_distance"] = SurfaceDistance(**common, measure="both")
        return metrics

    def margins(self, confusion: Tensor) -> Tensor:
        """Pixels right, in the truth and predicted: int64 (3,), of a confusion matrix (K, K)."""
        members = list(self.classes)
        return torch.stack(
            [
                confusion[members][:, members].sum(),
                confusion[members].sum(),
                confusion[:, members].sum(),
            ]
        )


@dataclass(frozen=True)
class PooledClasses:
    """Classes, merged ones or not, whose counts are added up: one taken for another is wrong."""

    name: str
    parts: tuple[MergedClass, ...]

    def margins(self, confusion: Tensor) -> Tensor:
        """Pixels right, in the truth and predicted, added up over the parts: int64 (3,)."""
        return torch.stack([part.margins(confusion) for part in self.parts]).sum(dim=0)


Group = MergedClass | PooledClasses


def region_rows(groups: Sequence[Group], confusion: Tensor) -> dict[str, Tensor]:
    """IoU, F1, precision and recall of M groups: float64 (M,) by name."""
    margins = as_float64(torch.stack([group.margins(confusion) for group in groups]))
    return scores_of_margins(*margins.unbind(dim=1))


def make_groups(
    merged: Mapping[str, Sequence[str]],
    pooled: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
) -> tuple[tuple[MergedClass, ...], tuple[PooledClasses, ...]]:
    """The groups of these names.

    Raises:
        InputError: A name that is no class, or that is taken; a group without members.
    """
    single = {name: MergedClass(name, (k,)) for k, name in enumerate(class_names)}
    unions: dict[str, MergedClass] = {}
    for name, members in merged.items():
        parts = _members("merged_classes", name, members, single, [*single, *unions])
        unions[name] = MergedClass(name, tuple(sorted({k for p in parts for k in p.classes})))
    sums: dict[str, PooledClasses] = {}
    for name, members in pooled.items():
        taken = [*single, *unions, *sums]
        parts = _members("pooled_classes", name, members, single | unions, taken)
        every = [k for part in parts for k in part.classes]
        if len(set(every)) < len(every):
            raise InputError(
                f"pooled_classes: the members of {name!r} overlap, so pixels would count twice. "
                "Name each class once."
            )
        sums[name] = PooledClasses(name, tuple(parts))
    return tuple(unions.values()), tuple(sums.values())


def _members(
    setting: str,
    name: str,
    members: Sequence[str],
    known: Mapping[str, MergedClass],
    taken: Sequence[str],
) -> list[MergedClass]:
    if name in taken:
        raise InputError(f"{setting} names {name!r} what is a class already. Take another name.")
    if isinstance(members, str) or not members:
        raise InputError(f"{setting}: {name!r} holds {members!r}, expected a list of names.")
    unknown = [member for member in members if member not in known]
    if unknown:
        raise InputError(
            f"{setting}: {name!r} holds {unknown[0]!r}, which is no class. The classes are: "
            f"{', '.join(known)}."
        )
    return [known[member] for member in members]
