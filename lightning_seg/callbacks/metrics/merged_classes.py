"""Groups of classes that are evaluated together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_seg.errors import InputError
from lightning_seg.metrics.functional.ratios import as_float64
from lightning_seg.metrics.functional.region_scores import scores_of_margins

# Ignore index of the binary maps of a merged class.
VOID = 255


@dataclass(frozen=True)
class MergedClass:
    """Union of classes: confusing two classes of the same union is not an error."""

    name: str
    classes: tuple[int, ...]

    def maps(self, labels: Tensor, mask: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
        """Return prediction and ground truth: 1 for the union, 0 for the rest, 255 for ignored."""
        members = torch.tensor(self.classes, device=labels.device)
        pred, truth = torch.isin(labels, members).long(), torch.isin(mask, members).long()
        return pred, truth if ignore_index is None else truth.masked_fill(
            mask == ignore_index, VOID
        )

    def margins(self, confusion: Tensor) -> Tensor:
        """Return correct, ground-truth and predicted pixels, int64 (3,), of a confusion matrix."""
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
    """Classes or merged classes whose counts are summed: confusing two of them is an error."""

    name: str
    parts: tuple[MergedClass, ...]

    def margins(self, confusion: Tensor) -> Tensor:
        """Return correct, ground-truth and predicted pixels, summed over the parts, int64 (3,)."""
        return torch.stack([part.margins(confusion) for part in self.parts]).sum(dim=0)


Group = MergedClass | PooledClasses


def region_rows(groups: Sequence[Group], confusion: Tensor) -> dict[str, Tensor]:
    """Return IoU, F1, precision and recall of M groups: float64 (M,) by name."""
    margins = as_float64(torch.stack([group.margins(confusion) for group in groups]))
    return scores_of_margins(*margins.unbind(dim=1))


def make_groups(
    merged: Mapping[str, Sequence[str]],
    pooled: Mapping[str, Sequence[str]],
    class_names: Sequence[str],
) -> tuple[tuple[MergedClass, ...], tuple[PooledClasses, ...]]:
    """Create the merged and the pooled classes."""
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
                "List each class once."
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
        raise InputError(f"{setting}: {name!r} is already the name of a class. Use another name.")
    if isinstance(members, str) or not members:
        raise InputError(f"{setting}: {name!r} holds {members!r}, expected a list of class names.")
    unknown = [member for member in members if member not in known]
    if unknown:
        raise InputError(
            f"{setting}: {name!r} holds {unknown[0]!r}, which is not a class. The classes are: "
            f"{', '.join(known)}."
        )
    return [known[member] for member in members]
