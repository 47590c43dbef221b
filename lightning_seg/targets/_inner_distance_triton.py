"""Column pass of inner distances on the GPU as a Triton kernel.

Also runs on CPU tensors under Triton's interpreter (``TRITON_INTERPRET=1``).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_seg.targets._inner_distance_torch import Rows

_TILE_Y = 16
_TILE_X = 64
_MAX_FAR = 30000  # the sum of two squares fits int32


def triton_fits(mask: Tensor) -> bool:
    """Return True if the image is small enough for the kernel."""
    return mask.numel() > 0 and mask.shape[1] + mask.shape[2] <= _MAX_FAR


def triton_column_pass(labels: Tensor, rows: Rows, chessboard: bool) -> Tensor:
    """Return distances (B, H, W) float32 of labels (B, H, W) int32, negative at void.

    Distances are ``rows.far`` or more where there is no other label.
    """
    batch, height, width = labels.shape
    labels, nearest_label, to_nearest, to_other = (
        x.contiguous() for x in (labels, rows.nearest_label, rows.to_nearest, rows.to_other)
    )
    output = torch.empty(labels.shape, device=labels.device)
    with torch.cuda.device_of(labels):  # Triton launches on the current device
        _measure_columns[(triton.cdiv(width, _TILE_X), triton.cdiv(height, _TILE_Y), batch)](
            labels, nearest_label, to_nearest, to_other, output, height, width, rows.far,
            CHESSBOARD=chessboard, TILE_Y=_TILE_Y, TILE_X=_TILE_X, num_warps=4,
        )  # fmt: skip
    return output


# Kernel parameters are untyped: tensors arrive as pointers, names in capitals are compile-time
# constants.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# ruff: noqa: ANN001, ANN202


@triton.jit
def _measure_columns(
    labels_at, nearest_label, to_nearest, to_other, output, height, width, far,
    CHESSBOARD: tl.constexpr, TILE_Y: tl.constexpr, TILE_X: tl.constexpr,
):  # fmt: skip
    """Process one tile of one image.

    Rows are added from the tile outwards until rows farther out cannot be nearest to any pixel of
    the tile.
    """
    image = tl.program_id(2).to(tl.int64) * height * width
    top = tl.program_id(1) * TILE_Y
    x = tl.program_id(0) * TILE_X + tl.arange(0, TILE_X)
    y = top + tl.arange(0, TILE_Y)
    inside = (y < height)[:, None] & (x < width)[None, :]
    pixels = image + y[:, None] * width + x[None, :]
    labels = tl.load(labels_at + pixels, mask=inside, other=-1)
    # Distances are squared except for the chessboard metric.
    nearest = tl.zeros_like(labels) + (far if CHESSBOARD else far * far)
    for own in range(TILE_Y):
        nearest = _with_row(
            nearest, labels, nearest_label, to_nearest, to_other, image, top + own, y, x, height,
            width, far, CHESSBOARD,
        )  # fmt: skip
    step = 1
    farthest = tl.max(tl.where(labels >= 0, nearest, 0))
    while (step < height) & ((step if CHESSBOARD else step * step) < farthest):
        for more in range(4):  # the loop condition costs more than a row
            above, below = top - step - more, top + TILE_Y - 1 + step + more
            nearest = _with_row(
                nearest, labels, nearest_label, to_nearest, to_other, image, above, y, x, height,
                width, far, CHESSBOARD,
            )  # fmt: skip
            nearest = _with_row(
                nearest, labels, nearest_label, to_nearest, to_other, image, below, y, x, height,
                width, far, CHESSBOARD,
            )  # fmt: skip
        step += 4
        farthest = tl.max(tl.where(labels >= 0, nearest, 0))
    distance = nearest.to(tl.float32)
    tl.store(output + pixels, distance if CHESSBOARD else tl.sqrt_rn(distance), mask=inside)


@triton.jit
def _with_row(
    nearest, labels, nearest_label, to_nearest, to_other, image, other, y, x, height, width, far,
    CHESSBOARD: tl.constexpr,
):  # fmt: skip
    """Return the distances of the tile, lowered by row ``other``."""
    row = tl.zeros_like(x) + other
    inside = (x < width) & (row >= 0) & (row < height)
    pixels = image + row * width + x
    seen = tl.load(nearest_label + pixels, mask=inside, other=-1)
    to_seen = tl.load(to_nearest + pixels, mask=inside, other=far)
    beyond = tl.load(to_other + pixels, mask=inside, other=far)
    across = tl.where(seen[None, :] != labels, to_seen[None, :], beyond[None, :])
    step = (y - other)[:, None]
    if CHESSBOARD:
        return tl.minimum(nearest, tl.maximum(across, tl.abs(step)))
    return tl.minimum(nearest, across * across + step * step)
