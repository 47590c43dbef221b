"""Filters over square windows and histograms of label maps, without host synchronisation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_seg.metrics.functional.labels import as_numbers, lift


def slide(
    maps: Tensor, radius: int, combine: Callable[[Tensor, Tensor], Tensor], neutral: int
) -> Tensor:
    """Reduce each pixel's square window of side 2 radius + 1, cropped at the image border.

    Rows first, then columns, with windows that double in length: about 2 log2(radius) passes.

    Args:
        maps: (..., H, W), any integer type.
        radius: Chebyshev radius in pixels, at least 0.
        combine: Idempotent operation (`combine(a, a) == a`): `torch.minimum`, `torch.maximum`,
            `torch.bitwise_or`.
        neutral: Neutral element: `combine(a, neutral) == a`.

    Returns:
        A map of the same shape and dtype.
    """
    for dim in (-1, -2):
        reach = min(radius, max(maps.shape[dim] - 1, 0))
        margins = (reach, reach) if dim == -1 else (0, 0, reach, reach)
        maps = pad(maps, margins, value=neutral)
        length, full = 1, 2 * reach + 1
        while length < full:
            step = min(length, full - length)
            rest = maps.shape[dim] - step
            maps = combine(maps.narrow(dim, 0, rest), maps.narrow(dim, step, rest))
            length += step
    return maps


def differs_within(
    labels: Tensor, radii: Sequence[int], see_through: Tensor | None = None
) -> list[Tensor]:
    """Return where the window of side 2 radius + 1 contains more than one label.

    One minimum and one maximum filter handle all classes at once, and each radius continues from
    the previous one.

    Args:
        labels: (B, H, W), uint8 or int32, at least 0.
        radii: Chebyshev radii in pixels, ascending.
        see_through: Boolean (B, H, W), pixels whose label is disregarded. The result at these
            pixels is undefined.

    Returns:
        A boolean map (B, H, W) for each radius.
    """
    top = torch.iinfo(labels.dtype).max
    low, high = labels, labels
    if see_through is not None:
        low = lift(labels, see_through, top)
        high = labels * as_numbers(~see_through, labels.dtype)
    differs = []
    for radius, previous in zip(radii, [0, *radii]):
        low = slide(low, radius - previous, torch.minimum, top)
        high = slide(high, radius - previous, torch.maximum, 0)
        differs.append(low != high)
    return differs


def histograms(codes: Tensor, bins: int) -> Tensor:
    """Count how often each value 0 to bins - 1 occurs in each image (B, H, W): int64 (B, bins)."""
    if codes.device.type != "cpu":
        return histograms_by_row(codes, bins)
    counts = [torch.bincount(image.reshape(-1), minlength=bins) for image in codes]
    return torch.stack(counts) if counts else torch.zeros((0, bins), dtype=torch.int64)


def histograms_by_row(codes: Tensor, bins: int) -> Tensor:
    """Compute `histograms` on accelerators, where `torch.bincount` would synchronise the host.

    Each image row has its own counts, so threads rarely contend for one.
    """
    batch, height, width = codes.shape
    rows = torch.zeros((batch * height, bins), dtype=torch.int64, device=codes.device)
    ones = torch.ones((), dtype=torch.int64, device=codes.device).expand(batch * height, width)
    rows.scatter_add_(1, codes.reshape(batch * height, width).long(), ones)
    return rows.view(batch, height, bins).sum(dim=1)


def code_dtype(bins: int) -> torch.dtype:
    """Return the smallest integer dtype that holds 0 to bins - 1; smaller dtypes count faster."""
    fitting = (kind for kind in (torch.uint8, torch.int16) if bins <= torch.iinfo(kind).max + 1)
    return next(fitting, torch.int32)
