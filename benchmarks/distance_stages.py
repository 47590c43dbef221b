"""Where the time of signed distances on the CPU goes, stage by stage.

    python benchmarks/distance_stages.py [--root data/camvid] [--scale 4] [--repeats 6]

Each stage of the computation on one CamVid label map, with one thread and with two; the best of
several rounds counts. Then the area that OpenCV's transform is computed on, and the area of the
pixels that need it: outside of a class, and nearer to it than the clip.
"""

import argparse
import time
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from distances import CLASSES, VOID, hardware, label_maps

from lightning_seg.targets import _signed_distance_opencv as ours
from lightning_seg.targets._boxes import label_boxes

CLIP = 32


def stages(labels: np.ndarray, threads: int) -> tuple[dict[str, float], float, float]:
    """Return milliseconds of each stage, and the areas in images."""
    times: dict[str, float] = {}
    start = time.perf_counter()

    def stop(stage: str) -> None:
        nonlocal start
        now = time.perf_counter()
        times[stage] = 1000 * (now - start)
        start = time.perf_counter()

    shape = labels.shape
    with ours.in_threads(threads) as each:
        output = np.empty((CLASSES, *shape), np.float32)
        nearest = np.empty(shape, np.float32)
        each(lambda plane: plane.fill(-CLIP), output)
        nearest.fill(CLIP)
        stop("filling the output")
        compact = ours.compact_labels(labels, CLASSES, VOID)
        stop("reading the labels")
        image = ours._Image(compact, output, nearest, Lock())
        boxes = list(label_boxes(compact, CLASSES, CLIP))
        jobs = [ours._Job(image, label, box, CLIP, float(CLIP)) for label, box in boxes]
        jobs.sort(key=lambda job: job.area, reverse=True)
        stop("finding the boxes")
        each(ours._measure_outside, jobs)
        stop("distances outside")
        each(ours._write_inside, jobs)
        stop("distances inside")
        void = compact == CLASSES
        each(lambda plane: np.copyto(plane, 0, where=void), output)
        stop("void")
    near = (output > -CLIP) & (output < 0)
    return times, sum(job.area for job in jobs) / labels.size, near.sum() / labels.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("data/camvid"), help="CamVid's folder")
    parser.add_argument("--scale", type=int, default=4, help="times that the labels are enlarged")
    parser.add_argument("--repeats", type=int, default=6, help="rounds")
    options = parser.parse_args()
    [labels] = label_maps(options.root, 1)
    labels = labels.repeat(options.scale, 0).repeat(options.scale, 1)
    print(
        f"{hardware()}; {labels.shape[0]} x {labels.shape[1]}, {CLASSES} classes, clip {CLIP} px\n"
    )
    rounds = {
        threads: [stages(labels, threads) for _ in range(options.repeats)] for threads in (1, 2)
    }
    print(f"{'ms':24}{'1 thread':>10}{'2 threads':>10}")
    for stage in rounds[1][0][0]:
        best = [min(times[stage] for times, _, _ in rounds[threads]) for threads in (1, 2)]
        print(f"{stage:24}{best[0]:10.1f}{best[1]:10.1f}")
    _, transformed, near = rounds[1][0]
    away = (labels != 0).astype(np.uint8)
    times = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        times.append(time.perf_counter() - start)
    print(f"\nTransforms cover {transformed:.2f} images; {near:.2f} images need one.")
    print(f"OpenCV's transform of a whole map: {1e9 * min(times) / labels.size:.1f} ns a pixel.")


if __name__ == "__main__":
    main()
