"""Signed distances by separable passes in torch, on any device and without a host sync."""

import math

import torch
from torch import Tensor

_FAR = 1 << 15  # farther than any pixel; its square and another's fit in int32 together


def torch_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip."""
    labels = torch.arange(num_classes + void_is_background, device=mask.device)
    label_map = torch.where(mask == ignore_index, num_classes, mask).unsqueeze(1)
    member = label_map == labels.view(1, -1, 1, 1)
    outer = _squared_distance(member, math.ceil(limit))
    # What bounds a class from inside is the nearest pixel of any other label.
    inner = outer.masked_fill(member, _FAR * _FAR).amin(dim=1, keepdim=True)
    outside = outer[:, :num_classes].float().sqrt().clamp(max=limit)
    inside = inner.float().sqrt().clamp(max=limit)
    return torch.where(member[:, :num_classes], inside, -outside)


def _squared_distance(member: Tensor, reach: int) -> Tensor:
    """Squared distance to the nearest member, exact below ``reach``; (B, L, H, W) int32."""
    height = member.shape[2]
    rows = _row_distance(member).square()
    nearest = rows.clone()
    for step in range(1, min(reach + 1, height)):
        lowered = rows + step * step
        below, above = nearest[:, :, step:], nearest[:, :, :-step]
        torch.minimum(below, lowered[:, :, :-step], out=below)
        torch.minimum(above, lowered[:, :, step:], out=above)
    return nearest


def _row_distance(member: Tensor) -> Tensor:
    """Distance to the nearest member in the same row, ``_FAR`` where there is none; int32."""
    columns = torch.arange(member.shape[3], device=member.device, dtype=torch.int32)
    before = torch.where(member, columns, -_FAR).cummax(dim=3).values
    after = torch.where(member, columns, 2 * _FAR).flip(3).cummin(dim=3).values.flip(3)
    return torch.minimum(columns - before, after - columns).clamp(max=_FAR)
