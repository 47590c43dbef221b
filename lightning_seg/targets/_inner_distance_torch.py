"""Inner distances by two separable passes in torch, on any device, without a host sync."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_NONE = -1  # label of void, and of rows without a valid pixel


class Rows(NamedTuple):
    """Nearest labels in the row of each pixel (B, H, W); ``far`` where there is none."""

    nearest_label: Tensor  # label of the nearest valid pixel
    to_nearest: Tensor  # columns to that pixel
    to_other: Tensor  # columns to the nearest valid pixel with a label other than that
    far: int  # more than any distance in the image

    def to_foreign(self, labels: Tensor, rows: slice) -> Tensor:
        """Columns to the nearest valid pixel with another label, for a slice of the rows."""
        nearest_label, to_nearest, to_other = (x[:, rows] for x in self[:3])
        return torch.where(nearest_label != labels, to_nearest, to_other)


ColumnPass = Callable[[Tensor, Rows, bool], Tensor]


def torch_inner_distance(
    mask: Tensor,
    num_classes: int,
    chessboard: bool,
    ignore_index: int,
    void_is_background: bool,
    column_pass: ColumnPass | None = None,
) -> Tensor:
    """See `lightning_seg.targets.inner_distance`.

    Two distances per pixel give, for any label, the distance to another label within the row, so
    one map serves all classes. A column pass then adds the rows one by one. Memory is about a dozen
    maps of the mask's size.
    """
    height, width = mask.shape[1:]
    labels = mask.int()
    void = num_classes if void_is_background else _NONE
    labels = labels.masked_fill(labels == ignore_index, void)
    rows = _scan_rows(labels)
    distance = (column_pass or _measure_columns)(labels, rows, chessboard)
    filled = max(height, width) if chessboard else math.hypot(height, width)
    distance = distance.masked_fill(distance >= rows.far, filled)
    return torch.where((labels >= 0) & (labels < num_classes), distance, 0.0).unsqueeze(1)


def _scan_rows(labels: Tensor) -> Rows:
    height, width = labels.shape[1:]
    far = height + width
    left_label, left_nearest, left_other = _scan_left(labels, far)
    mirrored = (x.flip(2) for x in _scan_left(labels.flip(2), far))
    right_label, right_nearest, right_other = mirrored
    nearest_label = torch.where(left_nearest <= right_nearest, left_label, right_label)
    return Rows(
        nearest_label,
        torch.minimum(left_nearest, right_nearest),
        torch.minimum(
            torch.where(left_label != nearest_label, left_nearest, left_other),
            torch.where(right_label != nearest_label, right_nearest, right_other),
        ),
        far,
    )


def _scan_left(labels: Tensor, far: int) -> tuple[Tensor, Tensor, Tensor]:
    """Last valid label to the left, columns to it, and columns to the last other label."""
    x = torch.arange(labels.shape[2], device=labels.device, dtype=torch.int32).expand_as(labels)
    last = torch.where(labels != _NONE, x, _NONE).cummax(2).values
    label = labels.gather(2, last.clamp(min=0).long())  # void if there is none to the left
    changed = torch.zeros_like(labels, dtype=torch.bool)
    changed[..., 1:] = label[..., 1:] != label[..., :-1]
    before = torch.where(changed, x - 1, _NONE).cummax(2).values
    other = last.gather(2, before.clamp(min=0).long()).masked_fill(before < 0, _NONE)
    return label, (x - last).masked_fill(last < 0, far), (x - other).masked_fill(other < 0, far)


def _measure_columns(labels: Tensor, rows: Rows, chessboard: bool) -> Tensor:
    """Distance to the nearest valid pixel of another label; ``far`` or more if there is none."""
    dtype = torch.int32 if 2 * rows.far**2 < 2**31 else torch.int64
    nearest = _with_step(rows.to_foreign(labels, slice(None)).to(dtype), 0, chessboard)
    height = labels.shape[1]
    for step in range(1, height):
        for here, there in (
            (slice(step, None), slice(None, height - step)),
            (slice(None, height - step), slice(step, None)),
        ):
            across = rows.to_foreign(labels[:, here], there).to(dtype)
            torch.minimum(
                nearest[:, here], _with_step(across, step, chessboard), out=nearest[:, here]
            )
    return nearest.float() if chessboard else nearest.float().sqrt()


def _with_step(across: Tensor, step: int, chessboard: bool) -> Tensor:
    """Squared distance over columns and rows; for the chessboard metric, not squared."""
    return across.clamp(min=step) if chessboard else across.square() + step * step
