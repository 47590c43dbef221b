"""Signed distances on the GPU in two Triton kernels.

Also run on CPU tensors under Triton's interpreter (``TRITON_INTERPRET=1``).
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE_Y = 16
_TILE_X = 64
_MAX_WIDTH = 16384  # one program holds a whole row of labels in registers
_MAX_REACH = 30000  # row distances fit int16, and sums of two squares int32


def triton_fits(mask: Tensor, limit: float) -> bool:
    """Return True if the image is small enough for the kernels."""
    return mask.numel() > 0 and mask.shape[2] <= _MAX_WIDTH and _reach(mask, limit) <= _MAX_REACH


def triton_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip.

    The first kernel measures along rows, the second along columns. Row distances of one or two
    bytes per pixel and label are passed between them. Every output is written once, without a host
    sync.
    """
    batch, height, width = mask.shape
    mask = _contiguous(mask)
    labels = num_classes + void_is_background
    reach = _reach(mask, limit)
    kind = torch.uint8 if reach <= 255 else torch.int16
    strips = triton.cdiv(width, _TILE_X)
    rows = torch.empty((batch, labels, height, width), dtype=kind, device=mask.device)
    lowest = torch.empty((batch, labels, strips, height), dtype=kind, device=mask.device)
    output = torch.empty((batch, num_classes, height, width), device=mask.device)
    block = max(triton.next_power_of_2(width), _TILE_X)
    halo = triton.next_power_of_2(min(height, _TILE_Y + 2 * reach - 2))
    with torch.cuda.device_of(mask):  # Triton launches on the current device
        _measure_rows[(batch * height,)](
            mask, rows, lowest, labels, num_classes, ignore_index, height, width, strips, reach,
            BLOCK=block, TILE_X=_TILE_X, num_warps=max(1, min(16, block // 128)),
        )  # fmt: skip
        _measure_columns[(strips, triton.cdiv(height, _TILE_Y), batch)](
            mask, rows, lowest, output, labels, num_classes, ignore_index, height, width, strips,
            reach, float(limit), HALO=halo, TILE_Y=_TILE_Y, TILE_X=_TILE_X,
            VOID_IS_BACKGROUND=void_is_background, num_warps=4,
        )  # fmt: skip
    return output


def _reach(mask: Tensor, limit: float) -> int:
    return math.ceil(min(limit, math.hypot(*mask.shape[1:])))


def _contiguous(mask: Tensor) -> Tensor:
    mask = mask.contiguous()
    return mask.view(torch.uint8) if mask.dtype == torch.bool else mask


# Kernel parameters are untyped: tensors arrive as pointers, names in capitals are compile-time
# constants.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# ruff: noqa: ANN001, ANN202


@triton.jit
def _later(one, other):
    return tl.maximum(one, other)


@triton.jit
def _sooner(one, other):
    return tl.minimum(one, other)


@triton.jit
def _load_labels(mask, offsets, inside, ignore_index, num_classes):
    """Load labels; void becomes ``num_classes``, pixels outside the image -1."""
    labels = tl.load(mask + offsets, mask=inside, other=0).to(tl.int32)
    labels = tl.where(labels == ignore_index, num_classes, labels)
    return tl.where(inside, labels, -1)


@triton.jit
def _measure_rows(
    mask, rows, lowest, num_labels, num_classes, ignore_index, height, width, strips, reach,
    BLOCK: tl.constexpr, TILE_X: tl.constexpr,
):  # fmt: skip
    """Measure the distance to each label along one row of one image, at most ``reach``.

    The minimum over every strip of ``TILE_X`` pixels lets the next kernel skip strips.
    """
    row = tl.program_id(0).to(tl.int64)
    image, y = row // height, row % height
    x = tl.arange(0, BLOCK)
    inside = x < width
    labels = _load_labels(mask, row * width + x, inside, ignore_index, num_classes)
    strip = tl.arange(0, BLOCK // TILE_X)
    for label in range(num_labels):
        member = labels == label
        line = image * num_labels + label
        distance = tl.full((BLOCK,), reach, tl.int32)
        if tl.max(member.to(tl.int32), 0) > 0:
            before = tl.associative_scan(tl.where(member, x, -reach), 0, _later)
            after = tl.associative_scan(
                tl.where(member, x, BLOCK + reach), 0, _sooner, reverse=True
            )
            distance = tl.minimum(tl.minimum(x - before, after - x), reach)
        distance = distance.to(rows.dtype.element_ty)
        tl.store(rows + (line * height + y) * width + x, distance, mask=inside)
        outside = tl.full((BLOCK,), reach, tl.int32).to(rows.dtype.element_ty)
        in_strips = tl.reshape(tl.where(inside, distance, outside), (BLOCK // TILE_X, TILE_X))
        nearest = tl.min(in_strips.to(tl.int32), 1).to(rows.dtype.element_ty)
        tl.store(lowest + (line * strips + strip) * height + y, nearest, mask=strip < strips)


@triton.jit
def _with_row(lowered, y, rows, line, top, other, x, height, width, reach):
    """Return the squared distances of the tile minus ``y^2``, lowered by row ``top + other``.

    ``(y - other)^2 + d^2 - y^2`` takes one multiplication and one addition per pixel.
    """
    row = tl.zeros_like(x) + top + other
    inside = (x < width) & (row >= 0) & (row < height)
    distance = tl.load(rows + (line * height + row) * width + x, mask=inside, other=reach)
    distance = distance.to(tl.int32)
    across = other * other + distance * distance
    return tl.minimum(lowered, across[None, :] + (-2 * other * y)[:, None])


@triton.jit
def _measure_columns(
    mask, rows, lowest, output, num_labels, num_classes, ignore_index, height, width, strips,
    reach, limit, HALO: tl.constexpr, TILE_Y: tl.constexpr, TILE_X: tl.constexpr,
    VOID_IS_BACKGROUND: tl.constexpr,
):  # fmt: skip
    """Compute the signed distances to all classes for one tile of one image.

    Rows are added from the tile outwards until rows farther out cannot be nearest to any pixel of
    the tile. The distance inside the own class is the minimum of the distances to all other labels.
    """
    image = tl.program_id(2).to(tl.int64)
    top = tl.program_id(1) * TILE_Y
    x = tl.program_id(0) * TILE_X + tl.arange(0, TILE_X)
    y = tl.arange(0, TILE_Y)  # from the tile's top
    inside = (top + y < height)[:, None] & (x < width)[None, :]
    pixels = (top + y).to(tl.int64)[:, None] * width + x[None, :]
    labels = _load_labels(mask, image * height * width + pixels, inside, ignore_index, num_classes)
    far = reach * reach
    y_squared = (y * y)[:, None] + tl.zeros_like(labels)
    inner = tl.zeros_like(labels) + far
    halo = tl.maximum(top - reach + 1, 0) + tl.arange(0, HALO)
    in_halo = (halo < height) & (halo < top + TILE_Y + reach - 1)
    for label in range(num_labels):
        line = image * num_labels + label
        lowered = far - y_squared
        strip = lowest + (line * strips + tl.program_id(0)) * height
        if tl.min(tl.load(strip + halo, mask=in_halo, other=reach).to(tl.int32), 0) < reach:
            for own in range(TILE_Y):
                lowered = _with_row(lowered, y, rows, line, top, own, x, height, width, reach)
            step = 1
            farthest = _highest(lowered + y_squared, inside)
            while (step < height) & (step * step < farthest):
                for more in range(4):  # the loop condition costs more than a row
                    above, below = -step - more, TILE_Y - 1 + step + more
                    lowered = _with_row(lowered, y, rows, line, top, above, x, height, width, reach)
                    lowered = _with_row(lowered, y, rows, line, top, below, x, height, width, reach)
                step += 4
                farthest = _highest(lowered + y_squared, inside)
        squared = lowered + y_squared
        member = labels == label
        inner = tl.minimum(inner, tl.where(member, far, squared))
        if label < num_classes:
            outside = -_clipped_root(squared, far, limit)
            if not VOID_IS_BACKGROUND:
                outside = tl.where(labels == num_classes, 0.0, outside)
            place = output + (image * num_classes + label) * height * width + pixels
            tl.store(place, outside, mask=inside & (labels != label))
    own_place = output + (image * num_classes + labels) * height * width + pixels
    is_class = inside & (labels >= 0) & (labels < num_classes)
    tl.store(own_place, _clipped_root(inner, far, limit), mask=is_class)


@triton.jit
def _highest(values, inside):
    return tl.max(tl.where(inside, values, 0))


@triton.jit
def _clipped_root(squared, far, limit):
    """Root of squared distances; ``far`` or more means the limit."""
    root = tl.minimum(tl.sqrt_rn(squared.to(tl.float32)), limit)
    return tl.where(squared >= far, limit, root)
