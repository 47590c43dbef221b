"""Signed distances by separable passes in torch, on any device and without a host sync."""

import math

import torch
from torch import Tensor


def torch_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip.

    Only a window of the limit's radius matters: the passes shift and take minima, as often as that
    radius (or the image) is high. A pixel's distance inside its own class is the smallest of its
    distances to all others, so it needs no passes.
    """
    height, width = mask.shape[1:]
    reach = math.ceil(min(limit, math.hypot(height, width)))
    labels = torch.arange(num_classes + void_is_background, device=mask.device).view(1, -1, 1, 1)
    label_map = mask.int().masked_fill(mask.int() == ignore_index, num_classes).unsqueeze(1)
    member = label_map == labels
    outer = _squared_distance(member, reach)
    inner = outer.masked_fill(member, reach * reach).amin(dim=1, keepdim=True)
    outside = _clipped_root(outer[:, :num_classes], reach, limit)
    inside = _clipped_root(inner, reach, limit)
    distance = torch.where(member[:, :num_classes], inside, -outside)
    return distance if void_is_background else distance.masked_fill_(label_map == num_classes, 0)


def _clipped_root(squared: Tensor, reach: int, limit: float) -> Tensor:
    """Distance of squared distances; ``reach`` stands for all that is as far, or not there."""
    return squared.float().sqrt().clamp(max=limit).masked_fill(squared >= reach * reach, limit)


def _squared_distance(member: Tensor, reach: int) -> Tensor:
    """Squared distance to the nearest member where it is below ``reach``, else its square or more.

    The shape is (B, L, H, W), the type the smallest integer that holds twice the square of reach.
    """
    squared_rows = _row_distance(member, reach).square()
    nearest = squared_rows.clone()
    for step in range(1, min(reach, member.shape[2])):
        lifted = squared_rows + step * step
        below, above = nearest[:, :, step:], nearest[:, :, :-step]
        torch.minimum(below, lifted[:, :, :-step], out=below)
        torch.minimum(above, lifted[:, :, step:], out=above)
    return nearest


def _row_distance(member: Tensor, reach: int) -> Tensor:
    """Distance to the nearest member in the same row, at most ``reach``.

    Steps of 1, 2, 4, ... columns add up to every distance.
    """
    types = (torch.int16, torch.int32, torch.int64)
    dtype = next(kind for kind in types if 2 * reach * reach <= torch.iinfo(kind).max)
    nearest = torch.full_like(member, reach, dtype=dtype).masked_fill_(member, 0)
    step = 1
    while step < min(reach, member.shape[3]):
        lifted = nearest + step
        left, right = nearest[..., :-step], nearest[..., step:]
        torch.minimum(left, lifted[..., step:], out=left)
        torch.minimum(right, lifted[..., :-step], out=right)
        step *= 2
    return nearest
