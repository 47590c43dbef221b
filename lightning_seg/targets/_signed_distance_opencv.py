"""Signed distances on the CPU: OpenCV's exact transform in boxes around each class."""

import math
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.targets._boxes import Box, label_boxes

PARALLEL_FROM = 1 << 18  # pixels; below that threads cost more than they save


class _Image(NamedTuple):
    labels: NDArray[np.unsignedinteger]  # (H, W); void is num_classes
    distances: NDArray[np.float32]  # (K, H, W), the output
    nearest: NDArray[np.float32]  # (H, W), distance to the nearest pixel of another label
    nearest_lock: Lock


class _Job(NamedTuple):
    """Box around pixels of one label, with everything that a thread needs."""

    image: _Image
    label: int
    box: Box
    reach: int
    limit: float

    @property
    def area(self) -> int:
        return self.box.grown(self.reach, self.image.labels.shape).area


def opencv_signed_distance(
    mask: Tensor, num_classes: int, limit: float, ignore_index: int, void_is_background: bool
) -> Tensor:
    """See `lightning_seg.targets.signed_distance`; ``limit`` is its clip.

    Distances from outside a class are computed in boxes around its components; farther away they
    equal the limit. The distance inside the own class is the minimum of the distances to all other
    classes, so it needs no transform. OpenCV releases the interpreter lock, so boxes run in
    parallel, in as many threads as torch uses (one in a data loader worker).
    """
    batch, height, width = mask.shape
    # NumPy requests huge pages, torch does not; allocation dominates the cost for large images.
    output = np.full((batch, num_classes, height, width), -limit, np.float32)
    nearest = np.full((batch, height, width), limit, np.float32)
    labels = compact_labels(mask.numpy(), num_classes, ignore_index)
    reach = math.ceil(min(limit, math.hypot(height, width)))
    jobs = [
        _Job(image, label, box, reach, limit)
        for image in map(_Image, labels, output, nearest, (Lock() for _ in range(batch)))
        for label, box in label_boxes(image.labels, num_classes + void_is_background, reach)
    ]
    jobs.sort(key=lambda job: job.area, reverse=True)  # largest first keeps all threads busy
    threads = min(len(jobs), torch.get_num_threads())
    if threads > 1 and sum(job.area for job in jobs) >= PARALLEL_FROM:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(_measure_outside, jobs))
    else:
        for job in jobs:
            _measure_outside(job)
    for job in jobs:
        _write_inside(job)
    if not void_is_background:
        np.copyto(output, 0, where=(labels == num_classes)[:, None])
    return torch.from_numpy(output)


def compact_labels(
    mask: NDArray[np.integer], num_classes: int, ignore_index: int
) -> NDArray[np.unsignedinteger]:
    """Return the mask with void as ``num_classes``, as bytes if they suffice."""
    kind: type[np.unsignedinteger] = np.uint8 if num_classes < 256 else np.uint32
    labels = mask.astype(kind)
    np.copyto(labels, num_classes, where=mask == ignore_index)
    return labels


def _measure_outside(job: _Job) -> None:
    """Write the distances around the box and lower the distances to the nearest other label."""
    image = job.image
    around = job.box.grown(job.reach, image.labels.shape).slices
    away = (image.labels[around] != job.label).view(np.uint8)
    distance = exact_distance(away)
    np.minimum(distance, np.float32(job.limit), out=distance)
    if job.label < len(image.distances):
        np.negative(distance, out=image.distances[job.label][around])
    np.copyto(distance, job.limit, where=away == 0)
    with image.nearest_lock:
        nearest = image.nearest[around]
        np.minimum(nearest, distance, out=nearest)


def exact_distance(away: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance to the nearest 0, correctly rounded."""
    distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last digit depends on memory alignment. Squared distances are integers: rounding them
    # makes the distances of equal masks bit-exact.
    return np.sqrt(np.rint(np.square(distance, out=distance), out=distance), out=distance)


def _write_inside(job: _Job) -> None:
    image, box = job.image, job.box.slices
    if job.label < len(image.distances):
        member = image.labels[box] == job.label
        np.copyto(image.distances[job.label][box], image.nearest[box], where=member)
