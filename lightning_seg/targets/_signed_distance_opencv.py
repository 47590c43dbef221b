"""Signed distances on the CPU: OpenCV's exact transform in boxes around each class."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.targets._boxes import Box, label_boxes

T = TypeVar("T")

_PARALLEL_FROM = 1 << 18  # pixels; below that threads cost more than they save


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
    classes, so it needs no transform. OpenCV and NumPy release the interpreter lock, so
    classes and boxes run in parallel.
    """
    batch, height, width = mask.shape
    with in_threads(threads_for(mask)) as each:
        # NumPy requests huge pages, torch does not; allocation dominates the cost for large images.
        output = np.empty((batch, num_classes, height, width), np.float32)
        nearest = np.empty((batch, height, width), np.float32)
        each(lambda plane: plane.fill(-limit), output.reshape(-1, height, width))
        each(lambda plane: plane.fill(limit), nearest)
        labels = compact_labels(mask.numpy(), num_classes, ignore_index)
        reach = math.ceil(min(limit, math.hypot(height, width)))
        jobs = [
            _Job(image, label, box, reach, limit)
            for image in map(_Image, labels, output, nearest, (Lock() for _ in range(batch)))
            for label, box in label_boxes(image.labels, num_classes + void_is_background, reach)
        ]
        jobs.sort(key=lambda job: job.area, reverse=True)  # largest first keeps all threads busy
        each(_measure_outside, jobs)
        each(_write_inside, jobs)
        if not void_is_background:
            void = labels == num_classes
            each(
                lambda plane: np.copyto(output[plane], 0, where=void[plane[0]]),
                [(image, label) for image in range(batch) for label in range(num_classes)],
            )
    return torch.from_numpy(output)


def compact_labels(
    mask: NDArray[np.integer], num_classes: int, ignore_index: int
) -> NDArray[np.unsignedinteger]:
    """Return the mask with void as ``num_classes``, as bytes if they suffice."""
    kind: type[np.unsignedinteger] = np.uint8 if num_classes < 256 else np.uint32
    labels = mask.astype(kind)
    if ignore_index % 256 > num_classes and kind is np.uint8:  # as a byte void is above all classes
        np.minimum(labels, kind(num_classes), out=labels)
    else:
        np.copyto(labels, num_classes, where=mask == ignore_index)
    return labels


def threads_for(mask: Tensor) -> int:
    """Number of threads worth using for masks: torch's (1 in a data loader worker), or 1."""
    return torch.get_num_threads() if mask.numel() >= _PARALLEL_FROM else 1


@contextmanager
def in_threads(count: int) -> Iterator[Callable[[Callable[[T], object], Iterable[T]], object]]:
    """Provide a function that calls another one with each item, in so many threads."""
    if count == 1:
        yield _in_turn
        return
    with ThreadPoolExecutor(count) as pool:
        yield lambda function, items: list(pool.map(function, items))


def _in_turn(function: Callable[[T], object], items: Iterable[T]) -> None:
    for item in items:
        function(item)


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
