"""Bit maps that hold many classes in one integer, one bit per class, dilated together."""

import math

import torch
from torch import Tensor

BITS = 30  # classes per int32 map: bits 1 to 30


def label_bits(labels: Tensor, first: int, count: int) -> Tensor:
    """Encode labels as one set bit each, int32; bit 1 for the class `first`, of at most BITS.

    Labels outside [first, first + count - 1] become 0.
    """
    # Lower labels land on bit 0, higher ones on bit count + 1; both are masked out.
    shift = (labels.to(torch.int32) - first).clamp_(-1, count).add_(1)
    one = torch.ones((), dtype=torch.int32, device=labels.device)
    return torch.bitwise_left_shift(one, shift).bitwise_and_(2 ** (count + 1) - 2)


def dilate_disk(maps: Tensor, radius: int) -> Tensor:
    """Dilate every bit of integer or boolean maps (..., H, W) by the disk x² + y² <= radius².

    The disk is a stack of rows. Rows of equal length share one growing horizontal run, which takes
    4 radius + 1 unions in total.
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
