"""Inner distances on the CPU: OpenCV's exact transform in boxes around each class."""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.targets._boxes import Box, label_boxes
from lightning_seg.targets._signed_distance_opencv import (
    compact_labels,
    exact_distance,
    in_threads,
    threads_for,
)


class _Job(NamedTuple):
    """Box around pixels of one label, with everything that a thread needs."""

    labels: NDArray[np.unsignedinteger]  # (H, W)
    distances: NDArray[np.float32]  # (H, W), the output
    label: int
    box: Box
    void: int | None  # label of void pixels if they are ignored
    chessboard: bool


def opencv_inner_distance(
    mask: Tensor, num_classes: int, chessboard: bool, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.inner_distance`.

    The boundary of a component is adjacent to it, so a margin of one pixel around its box suffices.
    """
    output = np.zeros(mask.shape, np.float32)
    labels = compact_labels(mask.numpy(), num_classes, ignore_index)
    jobs = []
    for image, distances in zip(labels, output):
        void_bounds = void_is_background or not (image == num_classes).any()
        void = None if void_bounds else num_classes
        boxes = label_boxes(image, num_classes, reach=1)
        jobs += [_Job(image, distances, *labelled, void, chessboard) for labelled in boxes]
    jobs.sort(key=lambda job: job.box.area, reverse=True)  # largest first keeps all threads busy
    with in_threads(threads_for(mask)) as each:
        each(_measure, jobs)
    return torch.from_numpy(output).unsqueeze(1)


def _measure(job: _Job) -> None:
    """Write the distances of the pixels in the box that have the label."""
    member = job.labels[job.box.slices] == job.label
    around = job.box.grown(1, job.labels.shape)
    distance = _distance_within(job, around)
    if job.void is not None:
        # Pixels beyond void may lie outside the margin, but no farther away than this distance.
        farthest = math.ceil(distance.max(where=member, initial=0))
        wider = job.box.grown(farthest, job.labels.shape)
        if farthest > 2 and wider != around:
            distance = _distance_within(job, wider)
    np.copyto(job.distances[job.box.slices], distance, where=member)


def _distance_within(job: _Job, around: Box) -> NDArray[np.float32]:
    """Distances in the box of the job, measured within the box ``around`` it."""
    labels = job.labels[around.slices]
    inner = labels == job.label
    if job.void is not None:
        inner |= labels == job.void
    if inner.all():
        height, width = job.labels.shape
        filled = max(height, width) if job.chessboard else math.hypot(height, width)
        distance = np.full(labels.shape, filled, np.float32)
    elif job.chessboard:
        distance = cv2.distanceTransform(inner.view(np.uint8), cv2.DIST_C, 3)
    else:
        distance = exact_distance(inner.view(np.uint8))
    top, left = job.box.top - around.top, job.box.left - around.left
    bottom, right = job.box.bottom - around.top, job.box.right - around.left
    return distance[top:bottom, left:right]
