"""Signed distances on the CPU: OpenCV's exact transform where a class is, and nowhere else."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 16
_PARALLEL_FROM = 1 << 16  # pixels of work below which starting threads costs more than it saves


class _Box(NamedTuple):
    """Rows top..bottom and columns left..right, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, margin: int, shape: tuple[int, ...]) -> "_Box":
        top, left = max(self.top - margin, 0), max(self.left - margin, 0)
        return _Box(
            top, min(self.bottom + margin, shape[0]), left, min(self.right + margin, shape[1])
        )

    def touches(self, other: "_Box", margin: int) -> bool:
        """Whether the two, each grown by ``margin``, overlap."""
        reach = 2 * margin
        return (
            self.top < other.bottom + reach
            and other.top < self.bottom + reach
            and self.left < other.right + reach
            and other.left < self.right + reach
        )

    def joined(self, other: "_Box") -> "_Box":
        return _Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)


class _Job(NamedTuple):
    """One box of one class of one image: all that a thread needs."""

    box: _Box
    labels: NDArray[np.integer]
    label: int
    void_label: int | None
    limit: float
    output: NDArray[np.float32]


def opencv_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip.

    Far from a class its distance is -limit, so the transform runs only in boxes around the class's
    components. OpenCV lets go of the interpreter lock, so boxes run in parallel threads.
    """
    output = torch.full((len(mask), num_classes, *mask.shape[1:]), -limit, dtype=torch.float32)
    # Labels as bytes: comparing them is what each class pays for the whole image.
    kind = torch.uint8 if num_classes < 256 else torch.int32
    label_maps = torch.where(mask == ignore_index, num_classes, mask).to(kind).numpy()
    void_label = None if void_is_background else num_classes
    reach = math.ceil(limit)
    jobs = [
        _Job(box, labels, label, void_label, limit, output[image, label].numpy())
        for image, labels in enumerate(label_maps)
        for label in _present(labels, num_classes)
        for box in _boxes(_member(labels, label), reach)
    ]
    jobs.sort(key=lambda job: -job.box.area)
    workers = min(len(jobs), os.cpu_count() or 1)
    if workers > 1 and sum(job.box.area for job in jobs) >= _PARALLEL_FROM:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(_run, jobs))
    else:
        for job in jobs:
            _run(job)
    return output


def _run(job: _Job) -> None:
    shape = job.labels.shape
    reach = math.ceil(job.limit)
    around = job.box.grown(reach, shape).slices
    # zeros are what distances are measured to
    outer = _distance(job.labels[around] != job.label, job.limit)
    np.negative(outer, out=job.output[around])
    # Any other label ends a class one pixel outside its box; void alone does not.
    inside = job.box.grown(1 if job.void_label is None else reach, shape).slices
    member = job.labels[inside] == job.label
    open_to = member if job.void_label is None else member | (job.labels[inside] == job.void_label)
    np.copyto(job.output[inside], _distance(open_to, job.limit), where=member)


def _distance(away: NDArray[np.bool_], limit: float) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest False one, at most ``limit``."""
    if away.all():  # OpenCV would measure to a point far outside
        return np.full(away.shape, limit, np.float32)
    distance = cv2.distanceTransform(away.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance, np.float32(limit), out=distance)


def _present(labels: NDArray[np.integer], num_classes: int) -> Iterator[int]:
    if labels.dtype == np.uint8:
        counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()[:num_classes]
    else:
        counts = np.bincount(labels.ravel(), minlength=num_classes)[:num_classes]
    return (int(label) for label in np.flatnonzero(counts))


def _member(labels: NDArray[np.integer], label: int) -> NDArray[np.uint8]:
    return (labels == label).view(np.uint8)


def _boxes(member: NDArray[np.uint8], reach: int) -> list[_Box]:
    """Boxes that hold every member, so far apart that no pixel is within ``reach`` of two."""
    height, width = member.shape
    margin = -(-reach // _BLOCK)
    size = 2 * margin + 1
    near = cv2.dilate(_blocks(member), np.ones((size, size), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    boxes: list[_Box] = []
    for left, top, columns, rows, _ in (stats[1:] * _BLOCK).tolist():
        region = _Box(top, min(top + rows, height), left, min(left + columns, width))
        x, y, w, h = cv2.boundingRect(member[region.slices])
        box = _Box(region.top + y, region.top + y + h, region.left + x, region.left + x + w)
        boxes = _merged(boxes, box, reach)
    return boxes


def _blocks(member: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Whether each block of 16 x 16 pixels holds a member."""
    height, width = member.shape
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), np.uint8)
    padded[:height, :width] = member
    words = padded.view(np.uint64).reshape(rows, _BLOCK, columns, _BLOCK // 8)
    return (np.bitwise_or.reduce(words, axis=(1, 3)) != 0).view(np.uint8)


def _merged(boxes: list[_Box], box: _Box, margin: int) -> list[_Box]:
    """The boxes with one more, those joined that come too near each other."""
    while True:
        near = [other for other in boxes if box.touches(other, margin)]
        if not near:
            return [*boxes, box]
        boxes = [other for other in boxes if other not in near]
        for other in near:
            box = box.joined(other)
