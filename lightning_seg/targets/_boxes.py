"""Bounding boxes of the components of every label, computed on a coarse grid."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK = 16
_WORD = 32


class Box(NamedTuple):
    """Rows top..bottom and columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: tuple[int, ...]) -> "Box":
        """Return the box grown by ``margin`` pixels on each side, cut at the image border."""
        height, width = shape
        return Box(
            max(self.top - margin, 0),
            min(self.bottom + margin, height),
            max(self.left - margin, 0),
            min(self.right + margin, width),
        )


def label_boxes(
    labels: NDArray[np.unsignedinteger], num_labels: int, reach: int
) -> Iterator[tuple[int, Box]]:
    """Yield labels and boxes that together cover every pixel of every label.

    The boxes of one label do not overlap even when grown by ``reach``, so no pixel is within
    ``reach`` of two of them.

    Args:
        labels: (H, W) label map.
        num_labels: Only labels below this number get boxes.
        reach: Distance in pixels.
    """
    margin = -(-reach // _BLOCK)
    near = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    for label, blocks in _blocks_by_label(labels, num_labels):
        _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(blocks, near), connectivity=8)
        boxes: list[Box] = []
        for left, top, width, height, _ in (stats[1:] * _BLOCK).tolist():
            box = Box(top, top + height, left, left + width).grown(0, labels.shape)
            boxes = _with_box(boxes, _tightened(box, labels, label), reach)
        yield from ((label, box) for box in boxes)


def _blocks_by_label(
    labels: NDArray[np.unsignedinteger], num_labels: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield each present label and a map of the 16 x 16 blocks that contain it."""
    height, width = labels.shape
    whole = height - height % _BLOCK
    columns = np.arange(0, width, _BLOCK)
    for first in range(0, num_labels, _WORD):
        # One bit per label; other labels wrap to large numbers and are shifted out of the word.
        bits = np.left_shift(np.uint32(1), labels - labels.dtype.type(first))
        blocks = np.bitwise_or.reduce(bits[:whole].reshape(-1, _BLOCK, width), axis=1)
        if whole < height:
            rest = np.bitwise_or.reduce(bits[whole:], axis=0, keepdims=True)
            blocks = np.concatenate([blocks, rest])
        blocks = np.bitwise_or.reduceat(blocks, columns, axis=1)
        present = int(np.bitwise_or.reduce(blocks, axis=None))
        for label in range(first, min(first + _WORD, num_labels)):
            bit = 1 << (label - first)
            if present & bit:
                yield label, (blocks & np.uint32(bit) != 0).view(np.uint8)


def _tightened(box: Box, labels: NDArray[np.unsignedinteger], label: int) -> Box:
    left, top, width, height = cv2.boundingRect((labels[box.slices] == label).view(np.uint8))
    top, left = top + box.top, left + box.left
    return Box(top, top + height, left, left + width)


def _with_box(boxes: list[Box], box: Box, reach: int) -> list[Box]:
    """Add a box and merge boxes that overlap when grown."""
    while near := [other for other in boxes if _overlap(box, other, reach)]:
        boxes = [other for other in boxes if other not in near]
        tops, bottoms, lefts, rights = zip(box, *near)
        box = Box(min(tops), max(bottoms), min(lefts), max(rights))
    return [*boxes, box]


def _overlap(one: Box, other: Box, reach: int) -> bool:
    """Return True if the boxes overlap when each is grown by ``reach``."""
    return (
        max(one.top, other.top) < min(one.bottom, other.bottom) + 2 * reach
        and max(one.left, other.left) < min(one.right, other.right) + 2 * reach
    )
