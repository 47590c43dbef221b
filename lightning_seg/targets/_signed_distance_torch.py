"""Signed distances by separable passes in torch, on any device, without a host sync."""

import math

import torch
from torch import Tensor

_CHUNK = 1 << 25  # pixels x labels per chunk: temporaries of at most 128 MiB in int32


def torch_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip.

    Only a window with the radius of the limit matters: the passes shift and take minima, as many
    times as that radius (or the image height). The distance inside the own class is the minimum of
    the distances to all other classes, so it needs no passes. Images and labels are processed in
    chunks: besides the output there are five temporaries of 128 MiB, or of one image and label if
    that is larger.
    """
    batch, height, width = mask.shape
    num_labels = num_classes + void_is_background
    label_map = mask.int().masked_fill(mask.int() == ignore_index, num_classes).unsqueeze(1)
    output = torch.empty((batch, num_classes, height, width), device=mask.device)
    images = max(1, _CHUNK // max(1, num_labels * height * width))
    for chunk, distances in zip(label_map.split(images), output.split(images)):
        _fill(distances, chunk, num_labels, limit)
    return output if void_is_background else output.masked_fill_(label_map == num_classes, 0)


def _fill(output: Tensor, label_map: Tensor, num_labels: int, limit: float) -> None:
    """Write the distances (B, K, H, W) of a label map (B, 1, H, W)."""
    num_classes, height, width = output.shape[1:]
    reach = math.ceil(min(limit, math.hypot(height, width)))
    dtype = _smallest_integer(2 * reach * reach)
    inner = torch.full_like(label_map, reach * reach, dtype=dtype)
    step = max(1, _CHUNK // max(1, label_map.numel()))
    for first in range(0, num_labels, step):
        labels = torch.arange(first, min(first + step, num_labels), device=output.device)
        member = label_map == labels.view(1, -1, 1, 1)
        outer = _squared_distance(member, reach, dtype)
        classes = output[:, first : first + step]
        classes.copy_(_clipped_root(outer[:, : classes.shape[1]], reach, limit)).neg_()
        nearest = outer.masked_fill_(member, reach * reach).amin(dim=1, keepdim=True)
        torch.minimum(inner, nearest, out=inner)
    inside = _clipped_root(inner, reach, limit)
    own = label_map.clamp(0, num_classes - 1).long()
    is_class = label_map == own
    output.scatter_(1, own, torch.where(is_class, inside, output.gather(1, own)))


def _smallest_integer(largest: int) -> torch.dtype:
    types = (torch.int16, torch.int32, torch.int64)
    return next(kind for kind in types if largest <= torch.iinfo(kind).max)


def _clipped_root(squared: Tensor, reach: int, limit: float) -> Tensor:
    """Root of squared distances; ``reach`` or more means the limit."""
    return squared.float().sqrt_().clamp_(max=limit).masked_fill_(squared >= reach * reach, limit)


def _squared_distance(member: Tensor, reach: int, dtype: torch.dtype) -> Tensor:
    """Squared distance to the nearest member if below ``reach``, else ``reach**2`` or more.

    The shape is (B, L, H, W); ``dtype`` must hold ``2 * reach**2``.
    """
    squared_rows = _row_distance(member, reach, dtype).square_()
    nearest = squared_rows.clone()
    for step in range(1, min(reach, member.shape[2])):
        lifted = squared_rows + step * step
        below, above = nearest[:, :, step:], nearest[:, :, :-step]
        torch.minimum(below, lifted[:, :, :-step], out=below)
        torch.minimum(above, lifted[:, :, step:], out=above)
    return nearest


def _row_distance(member: Tensor, reach: int, dtype: torch.dtype) -> Tensor:
    """Distance to the nearest member in the same row, at most ``reach``.

    Steps of 1, 2, 4, ... columns add up to every distance.
    """
    nearest = torch.full_like(member, reach, dtype=dtype).masked_fill_(member, 0)
    step = 1
    while step < min(reach, member.shape[3]):
        lifted = nearest + step
        left, right = nearest[..., :-step], nearest[..., step:]
        torch.minimum(left, lifted[..., step:], out=left)
        torch.minimum(right, lifted[..., :-step], out=right)
        step *= 2
    return nearest
