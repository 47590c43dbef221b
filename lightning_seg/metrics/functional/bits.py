"""Many classes in one integer map: a bit a class, dilated all at once."""

import math

import torch
from torch import Tensor

BITS = 30  # classes an int32 map holds: bits 1 to 30


def label_bits(labels: Tensor, first: int, count: int) -> Tensor:
    """A map whose only bit says which class a pixel has: bit 1 for the first class asked for.

    Args:
        labels: (B, H, W) integers.
        first: The first class.
        count: How many classes, at most BITS.

    Returns:
        int32 (B, H, W), 0 for labels outside of first to first + count - 1.
    """
    # Lower labels fall on bit 0, higher ones on bit count + 1; both are then cut off.
    shift = (labels.to(torch.int32) - first).clamp_(-1, count).add_(1)
    one = torch.ones((), dtype=torch.int32, device=labels.device)
    return torch.bitwise_left_shift(one, shift).bitwise_and_(2 ** (count + 1) - 2)


def dilate_disk(maps: Tensor, radius: int) -> Tensor:
    """The union of all bits within a Euclidean distance: dilation by the disk x² + y² <= radius².

    A disk is a stack of rows; rows of equal length share one growing horizontal run, so there are
    4 radius + 1 unions in all.

    Args:
        maps: (..., H, W), integers or boolean.
        radius: In px, a whole number.

    Returns:
        A new map of the same shape and type.
    """
    height, width = maps.shape[-2:]
    run, union = maps.clone(), maps.clone()
    half = 0
    for dy in range(radius, -1, -1):
        for step in range(half + 1, math.isqrt(radius * radius - dy * dy) + 1):
            half = step
            if step < width:
                run[..., step:].bitwise_or_(maps[..., :-step])
                run[..., :-step].bitwise_or_(maps[..., step:])
        if dy == 0:
            union |= run
        elif dy < height:
            union[..., dy:, :].bitwise_or_(run[..., :-dy, :])
            union[..., :-dy, :].bitwise_or_(run[..., dy:, :])
    return union
