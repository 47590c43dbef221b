"""Where the time of boundary IoU on the CPU goes, stage by stage.

    python benchmarks/boundary_iou_stages.py [--repeats 9]

The map of `metrics.py`, 1024 x 2048 pixels and 19 classes, with int64 labels and a prediction that
is good; processor time of one thread, best of several rounds. Then a filter of 93 x 93 pixels by
OpenCV beside one by windows that double in length, in strips that fit the cache, and one read of
both maps.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from distances import hardware
from metrics import CLASSES, VOID, near, street
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.metrics.functional import boundary_iou_counts, boundary_width
from lightning_seg.metrics.functional.labels import equals, label_maps, lift
from lightning_seg.metrics.functional.windows import differs_within, overlaps

STRIP = 32, 256  # rows of a horizontal pass, columns of a vertical one


def doubling_minimum(labels: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """Return the minimum in each pixel's window, from windows that double in length."""
    for axis, strip in ((1, STRIP[0]), (0, STRIP[1])):
        margins = [(radius, radius) if dim == axis else (0, 0) for dim in (0, 1)]
        padded = np.pad(labels, margins, constant_values=255)
        labels = np.empty_like(labels)
        for start in range(0, labels.shape[1 - axis], strip):
            part = (slice(start, start + strip), slice(None))[:: 1 if axis else -1]
            window, length = padded[part], 1
            while length < 2 * radius + 1:
                step = min(length, 2 * radius + 1 - length)
                rest = window.shape[axis] - step
                ends = [
                    tuple(slice(a, b) if dim == axis else slice(None) for dim in (0, 1))
                    for a, b in ((0, rest), (step, None))
                ]
                window = np.minimum(window[ends[0]], window[ends[1]])
                length += step
            labels[part] = window
    return labels


def best(call: Callable[[], object], repeats: int) -> float:
    """Return the milliseconds of the fastest call."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def stages(pred: Tensor, truth: Tensor) -> dict[str, Callable[[], object]]:
    """Return the stages of `boundary_iou_counts` as calls, and the whole."""
    width = boundary_width(*truth.shape[-2:])
    small, small_truth = label_maps(pred, truth, CLASSES, VOID)
    void = equals(small_truth, CLASSES)
    [band], [true_band] = (differs_within(m, [width], void) for m in (small, small_truth))
    inside, true = lift(small, ~band | void, CLASSES), lift(small_truth, ~true_band, CLASSES)
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    image = small[0].numpy()
    assert np.array_equal(cv2.erode(image, window), doubling_minimum(image, width))
    return {
        "boundary IoU": lambda: boundary_iou_counts(pred, truth, CLASSES, ignore_index=VOID),
        "checking the labels, to uint8": lambda: label_maps(pred, truth, CLASSES, VOID),
        "bands of the prediction": lambda: differs_within(small, [width], void),
        "bands of the ground truth": lambda: differs_within(small_truth, [width], void),
        "labels in the bands": lambda: (
            lift(small, ~band | void, CLASSES), lift(small_truth, ~true_band, CLASSES),
        ),
        "histogram of both": lambda: overlaps(inside, true, CLASSES),
        "one filter by OpenCV": lambda: cv2.erode(image, window),
        "one filter by doubling": lambda: doubling_minimum(image, width),
        "one read of both maps": lambda: (pred.aminmax(), truth.aminmax()),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    truth = street(0)
    maps = (torch.from_numpy(labels)[None].long() for labels in (near(truth, 0), truth))
    print(hardware())
    for name, call in stages(*maps).items():
        print(f"{name:32} {best(call, options.repeats):6.1f} ms")


if __name__ == "__main__":
    main()
