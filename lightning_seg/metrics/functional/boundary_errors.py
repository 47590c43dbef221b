"""Causes of the wrong pixels near boundaries."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, label_maps
from lightning_seg.metrics.functional.trimap_iou import band_levels

CAUSES = (
    "swollen", "shrunk", "ragged", "merged", "split", "missed", "invented", "wrong_class", "other",
)  # fmt: skip
"""Causes in the order of the results."""

Labels = NDArray[np.uint8] | NDArray[np.int32]
Mask = NDArray[np.bool_]

# A wrong class has this share of the union of both objects, at least.
_SAME_OUTLINE = 0.5
# An object is missed (invented) if a smaller share of it is predicted (true).
_FOUND = 0.25
# A part of a split object, or an object that is merged with others, has this share, at least.
_PART = 0.1
_NUMBER = {cause: number for number, cause in enumerate(CAUSES)}


def boundary_errors(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    widths: Sequence[int] = (1, 2, 3, 5, 10),
    ragged_size: int = 5,
    ignore_index: int | None = None,
) -> Tensor:
    """Count the wrong pixels near the true boundaries by cause, summed over the batch.

    A wrong pixel belongs to a true object, of class t, and to a predicted one, of class p (objects
    are 8-connected). Its cause is the first that applies:

    - ``wrong_class``: both objects share at least half of their union; the outline is right.
    - ``missed``: less than a quarter of the true object is predicted as t.
    - ``invented``: less than a quarter of the predicted object is truly p.
    - ``merged``: within the largest width are correct pixels of two true objects of class p which
      the predicted object joins. Of each, at least a tenth must be correct.
    - ``split``: within the largest width are correct pixels of two predicted objects of class t
      into which the true object is split. Each must be at least a tenth of it.
    - ``ragged``: the connected piece of such pixels, truly t and predicted as p, is at most
      ``ragged_size`` pixels high and wide.
    - ``swollen``, ``shrunk``: the outline is shifted: within twice the largest width are pixels of
      the true class p. The smaller of the two objects is taken for the object: it is swollen if it
      is the predicted one, and shrunk if it is the true one.
    - ``other``: none of these: a pixel far from all true pixels of its predicted class, or
      predicted as no class.

    Seen from a class, its true pixels are lost, its predicted pixels gained: the first are shrunk,
    the second swollen, whichever object is smaller. All distances are Chebyshev distances.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W); they alone define the bands.
        num_classes: K.
        widths: W half-widths of the bands in px, in any order; see `trimap_iou_counts` for bands.
        ragged_size: Height and width in px up to which a piece of an outline is ragged and not
            shifted.
        ignore_index: Label of ignored pixels; they are no errors and belong to no object.

    Returns:
        Counts int64 (W, K, 2, C) of wrong pixels by true class, and by predicted class, for each of
        the C `CAUSES`. Every wrong pixel occurs once in ``[:, :, 0]``.

    Example:
        >>> target = torch.zeros(1, 20, 20, dtype=torch.long)
        >>> target[:, 5:15, 5:15] = 1
        >>> preds = torch.zeros_like(target)
        >>> preds[:, 5:15, 5:17] = 1  # the right edge lies 2 px too far right
        >>> counts = boundary_errors(preds, target, num_classes=2, widths=[3])
        >>> dict(zip(CAUSES, counts[0, :, 0].sum(dim=0).tolist()))["swollen"]
        20
    """
    check_boundary_errors(num_classes, widths, ragged_size)
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    ordered = sorted(set(widths))
    levels = band_levels(truth, ordered, "transition", num_classes).cpu().numpy()
    shape = (len(ordered), num_classes, 2, len(CAUSES))
    counts = np.zeros(shape, np.int64)
    for one_pred, one_truth, level in zip(pred.cpu().numpy(), truth.cpu().numpy(), levels):
        _add(counts, one_pred, one_truth, level, num_classes, ordered[-1], ragged_size)
    inside = counts.cumsum(axis=0)[[ordered.index(width) for width in widths]]
    return torch.from_numpy(inside).to(target.device)


def check_boundary_errors(num_classes: int, widths: Sequence[int], ragged_size: int) -> None:
    """Raise ValueError if the settings are invalid."""
    check_settings(num_classes)
    if len(widths) == 0 or any(not isinstance(w, int) or w < 1 for w in widths):
        raise ValueError(f"widths is {tuple(widths)}; expected whole numbers of px, at least 1.")
    if ragged_size < 1:
        raise ValueError(f"ragged_size is {ragged_size}; expected at least 1 px.")


def _add(
    counts: NDArray[np.int64],
    pred: Labels,
    truth: Labels,
    level: NDArray[np.uint8],
    num_classes: int,
    reach: int,
    ragged_size: int,
) -> None:
    """Add the wrong pixels of an image to counts by level (L, K, 2, C)."""
    valid = truth < num_classes
    wrong = valid & (pred != truth) & (level < len(counts))
    if not wrong.any():
        return
    causes, object_is_true = _causes(
        np.where(valid, pred, num_classes), truth, wrong, num_classes, reach, ragged_size
    )
    place = level[wrong], truth[wrong], np.zeros(len(causes), np.intp)
    shifted = causes == _NUMBER["swollen"]
    np.add.at(counts, (*place, np.where(shifted & object_is_true, _NUMBER["shrunk"], causes)), 1)
    predicted = pred[wrong]
    known = predicted < num_classes
    np.add.at(counts, (level[wrong][known], predicted[known], 1, causes[known]), 1)


def _causes(
    pred: Labels, truth: Labels, wrong: Mask, num_classes: int, reach: int, ragged_size: int
) -> tuple[NDArray[np.int64], Mask]:
    """Return the cause of each wrong pixel, with shifts as ``swollen``.

    The second array tells where the true object is the smaller one.
    """
    true_ids, pred_ids = _objects(truth, num_classes), _objects(pred, num_classes)
    right = (pred == truth) & (truth < num_classes)
    true_area, pred_area = np.bincount(true_ids.ravel()), np.bincount(pred_ids.ravel())
    found = np.bincount(true_ids[right], minlength=len(true_area))
    confirmed = np.bincount(pred_ids[right], minlength=len(pred_area))
    t, p = truth[wrong], pred[wrong]
    i, j = true_ids[wrong], pred_ids[wrong]
    # Objects of different classes share wrong pixels alone, in the band or outside.
    keys = true_ids.astype(np.int64) * len(pred_area) + pred_ids
    pairs, sizes = np.unique(keys[(pred != truth) & (truth < num_classes)], return_counts=True)
    common = sizes[np.searchsorted(pairs, keys[wrong])]
    union = true_area[i] + pred_area[j] - common
    has_class = p < num_classes
    rules = {
        "wrong_class": has_class & (common >= _SAME_OUTLINE * union),
        "missed": has_class & (found[i] < _FOUND * true_area[i]),
        "invented": has_class & (confirmed[j] < _FOUND * pred_area[j]),
        "merged": _joined(pred_ids, true_ids, right, true_area, wrong, reach, whole=False),
        "split": _joined(true_ids, pred_ids, right, true_area, wrong, reach, whole=True),
        "ragged": has_class & _in_small_pieces(pred, truth, wrong, num_classes, ragged_size),
        # The near boundary may be on the other side of its band.
        "swollen": _near_class(truth, p, wrong, 2 * reach, num_classes),
    }
    causes = np.full(len(t), _NUMBER["other"])
    for cause, applies in reversed(rules.items()):
        causes[applies] = _NUMBER[cause]
    return causes, true_area[i] < pred_area[j]


def _objects(labels: Labels, num_classes: int) -> NDArray[np.int32]:
    """Number the 8-connected objects of all classes from 1; 0 is no class."""
    ids = np.zeros(labels.shape, np.int32)
    last = 0
    for k in np.unique(labels[labels < num_classes]):
        count, own = cv2.connectedComponents((labels == k).astype(np.uint8), connectivity=8)
        inside = own > 0
        ids[inside] = own[inside] + last
        last += count - 1
    return ids


def _joined(
    outer: NDArray[np.int32],
    inner: NDArray[np.int32],
    right: Mask,
    true_area: NDArray[np.int64],
    wrong: Mask,
    reach: int,
    whole: bool,
) -> Mask:
    """Return which wrong pixels lie between two inner objects that one outer object joins.

    With ``whole`` the correct pixels of an inner object must be `_PART` of the outer object's true
    area, otherwise of its own.
    """
    result = np.zeros(outer.shape, bool)
    for number, parts in _parts(outer, inner, right, true_area, whole):
        rows, columns = _box(outer == number, reach)
        own = outer[rows, columns] == number
        ids = np.where(own & right[rows, columns], inner[rows, columns], 0)
        ids = np.where(np.isin(ids, parts), ids, 0).astype(np.float32)
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        top = np.float32(ids.max() + 1)
        high = cv2.dilate(ids, window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        low = top - cv2.dilate(
            np.where(ids > 0, top - ids, np.float32(0)),
            window,
            borderType=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        result[rows, columns] |= own & (high > 0) & (low < high)
    return result[wrong]


def _parts(
    outer: NDArray[np.int32],
    inner: NDArray[np.int32],
    right: Mask,
    true_area: NDArray[np.int64],
    whole: bool,
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each outer object that joins two or more inner ones, and the numbers of these."""
    base = int(inner.max()) + 1
    keys = outer[right].astype(np.int64) * base + inner[right]
    pairs, sizes = np.unique(keys, return_counts=True)
    outers, inners = pairs // base, pairs % base
    large = sizes >= _PART * true_area[outers if whole else inners]
    outers, inners = outers[large], inners[large]
    for number, count in zip(*np.unique(outers, return_counts=True), strict=True):
        if count > 1:
            yield int(number), inners[outers == number]


def _box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return rows and columns of the mask's bounding box with a margin."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return tuple(  # type: ignore[return-value]
        slice(max(int(places[0]) - margin, 0), int(places[-1]) + 1 + margin)
        for places in (rows, columns)
    )


def _in_small_pieces(pred: Labels, truth: Labels, wrong: Mask, num_classes: int, size: int) -> Mask:
    """Return which wrong pixels are in a piece of limited size, of one pair of classes."""
    small = np.zeros(truth.shape, bool)
    pairs = np.where(
        (truth < num_classes) & (pred != truth),
        truth.astype(np.int32) * (num_classes + 1) + pred + 1,
        0,
    )
    for pair in np.unique(pairs[wrong]):
        piece = (pairs == pair).astype(np.uint8)
        _, numbers, boxes, _ = cv2.connectedComponentsWithStats(piece, connectivity=8)
        sides = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
        fits = sides <= size
        fits[0] = False  # what is no piece
        small |= fits[numbers]
    return small[wrong]


def _near_class(truth: Labels, labels: Labels, wrong: Mask, reach: int, num_classes: int) -> Mask:
    """Return for each wrong pixel whether its given label is true within reach."""
    near = np.zeros(len(labels), bool)
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    for k in np.unique(labels[labels < num_classes]):
        reached = cv2.dilate((truth == k).astype(np.uint8), window)
        chosen = labels == k
        near[chosen] = reached[wrong][chosen] > 0
    return near
