"""Time of the boundary metrics against the public codes' way, on 1024 x 2048 pixels, 19 classes.

    python benchmarks/metrics.py [--root FOLDER_OF_LABEL_MAPS] [--repeats 5] [--threads 1]
        [--network]

The other way is what the public codes do class by class: boundary IoU by erosion (Cheng et al.),
the boundary F-measure by a contour and a dilation with a disk (DAVIS). Without --root a street is
synthetic. Three predictions are measured: good, unrelated, and with 5 % wrong pixels.
The runs take turns, each twice, and the best second one of each counts, so that other work on the
machine and what ran before matter less; with one thread, the time is the process's own (CPU time).
Then the cost for 2, 19 and 150 classes, and with --network that of boundary IoU, trimap IoU and
boundary F together as a share of a DeepLab v3+ ResNet-50's forward pass on the same part of it.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from lightning_seg.metrics.functional import (
    boundary_f_counts,
    boundary_iou_counts,
    boundary_width,
    e_measure,
    surface_distances,
    tolerance_in_pixels,
    trimap_iou_counts,
)

HEIGHT, WIDTH, CLASSES, VOID = 1024, 2048, 19, 255


def street(seed: int) -> np.ndarray:
    """Road, pavement, buildings, trees, poles, people and cars as a label map with some void."""
    rng = np.random.default_rng(seed)
    labels = np.full((HEIGHT, WIDTH), 10, np.uint8)
    for x in range(0, WIDTH, 128):
        top = int(rng.integers(100, 450))
        cv2.rectangle(labels, (x, top), (x + 128, 700), int(rng.choice([2, 3, 4])), -1)
    labels[600:] = 1
    road = np.array([[0, 1023], [WIDTH - 1, 1023], [1250, 480], [850, 480]])
    cv2.fillPoly(labels, [road], 0)
    for _ in range(60):
        x, y = int(rng.integers(WIDTH)), int(rng.integers(150, 900))
        size, label = int(rng.integers(8, 90)), int(rng.integers(5, CLASSES))
        if label in (5, 6, 7):
            cv2.rectangle(labels, (x, y - 250), (x + 6, y), label, -1)
        else:
            outline = cv2.ellipse2Poly((x, y), (size, 2 * size // 3), 0, 0, 360, 12)
            ragged = outline + rng.integers(-size // 8, size // 8 + 1, outline.shape)
            cv2.fillPoly(labels, [ragged.astype(np.int32)], label)
    labels[-60:] = VOID
    return labels


def near(labels: np.ndarray, seed: int) -> np.ndarray:
    """A good prediction: outlines a few pixels off, some regions of another class."""
    rng = np.random.default_rng(seed)
    shift = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH, 2)).astype(np.float32), (0, 0), 12)
    shift *= 3 / shift.std()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    warped = cv2.remap(labels, x + shift[..., 0], y + shift[..., 1], cv2.INTER_NEAREST)
    warped[warped == VOID] = 0
    for _ in range(10):
        x0, y0 = int(rng.integers(WIDTH - 100)), int(rng.integers(HEIGHT - 100))
        cv2.circle(warped, (x0, y0), int(rng.integers(10, 40)), int(rng.integers(CLASSES)), -1)
    return warped


def noisy(labels: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.random(labels.shape) < 0.05
    noise = rng.integers(0, CLASSES, labels.shape, dtype=np.uint8)
    return np.where(wrong | (labels == VOID), noise, labels)


def read_pair(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first two label maps of a folder, enlarged to the benchmark's size."""
    paths = sorted(p for p in root.rglob("*.png"))[:2]
    if len(paths) < 2:
        raise SystemExit(f"{root} holds fewer than two .png label maps.")
    maps = []
    for path in paths:
        labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        labels = cv2.resize(labels, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        maps.append(np.where(labels < CLASSES, labels, VOID).astype(np.uint8))
    return maps[0], maps[1]


def iou_by_class(pred: np.ndarray, truth: np.ndarray) -> list[tuple[int, int]]:
    width = boundary_width(HEIGHT, WIDTH)
    kernel = np.ones((3, 3), np.uint8)

    def boundary(mask: np.ndarray) -> np.ndarray:
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return mask - cv2.erode(padded, kernel, iterations=width)[1:-1, 1:-1]

    counts = []
    for k in range(CLASSES):
        a = boundary((pred == k).astype(np.uint8))
        b = boundary((truth == k).astype(np.uint8))
        a[truth == VOID] = 0
        counts.append((int(((a * b) > 0).sum()), int(((a + b) > 0).sum())))
    return counts


def contour(mask: np.ndarray) -> np.ndarray:
    east, south, corner = mask.copy(), mask.copy(), mask.copy()
    east[:, :-1], south[:-1], corner[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    found = mask ^ east | mask ^ south | mask ^ corner
    found[-1], found[:, -1], found[-1, -1] = (mask ^ east)[-1], (mask ^ south)[:, -1], 0
    return found


def f_by_class(pred: np.ndarray, truth: np.ndarray) -> list[tuple[int, ...]]:
    radius = tolerance_in_pixels(0.008, HEIGHT, WIDTH)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    counts = []
    for k in range(CLASSES):
        a = contour(((pred == k) & (truth != VOID)).astype(np.uint8))
        b = contour((truth == k).astype(np.uint8))
        a_hit, b_hit = a * cv2.dilate(b, disk), b * cv2.dilate(a, disk)
        counts.append(tuple(int(m.sum()) for m in (a, a_hit, b, b_hit)))
    return counts


def clock() -> float:
    """Seconds: of this process alone where it has but one thread."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def best_times(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            call()  # memory that the one before gave back to the system is fetched again
            start = clock()
            call()
            best[name] = min(best[name], 1e3 * (clock() - start))
    return best


def measure(title: str, pred: np.ndarray, truth: np.ndarray, repeats: int) -> None:
    p, t = torch.from_numpy(pred)[None].long(), torch.from_numpy(truth)[None].long()

    def our_iou() -> list[tuple[int, int]]:
        counts = boundary_iou_counts(p, t, CLASSES, ignore_index=VOID, void="removed")
        return list(zip(*(c.tolist() for c in counts)))

    def our_f() -> list[tuple[int, ...]]:
        counts = boundary_f_counts(p, t, CLASSES, ignore_index=VOID)
        return list(zip(*(c[0].tolist() for c in counts)))

    def ours_removed() -> object:
        return boundary_f_counts(p, t, CLASSES, ignore_index=VOID, void="removed")

    if our_iou() != iou_by_class(pred, truth) or our_f() != f_by_class(pred, truth):
        raise SystemExit(f"{title}: the counts differ from the class-by-class way's.")
    times = best_times(
        {
            "boundary IoU by class": lambda: iou_by_class(pred, truth),
            "boundary IoU": our_iou,
            "boundary F by class": lambda: f_by_class(pred, truth),
            "boundary F": our_f,
            "boundary F, void removed": ours_removed,
            "trimap IoU, 5 widths": lambda: trimap_iou_counts(p, t, CLASSES, ignore_index=VOID),
            "trimap IoU, 5 widths, per class": lambda: trimap_iou_counts(
                p, t, CLASSES, band="per_class", ignore_index=VOID
            ),
            "E-measure": lambda: e_measure(p, t, CLASSES, VOID),
            "surface distances": lambda: surface_distances(p, t, CLASSES, ignore_index=VOID),
        },
        repeats,
    )
    print(f"\n{title} (counts equal)")
    for name, milliseconds in times.items():
        other = times.get(f"{name} by class")
        ratio = f"{other / milliseconds:8.1f}x" if other else ""
        print(f"  {name:34s}{milliseconds:10.1f} ms{ratio}")


def growth(truth: np.ndarray, repeats: int) -> None:
    """The same regions, under the names of fewer and of more classes."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    block = 8 * (y // 128) + x // 256
    maps = {
        2: np.where(truth == VOID, VOID, truth % 2),
        19: truth,
        150: np.where(truth == VOID, VOID, (truth + 19 * block) % 150),
    }
    calls = {}
    for classes, labels in maps.items():
        t = torch.from_numpy(labels.astype(np.uint8))[None].long()
        p = torch.from_numpy(near(labels.astype(np.uint8), 0))[None].long().clamp(max=classes - 1)
        for name, counts in (("boundary IoU", boundary_iou_counts), ("trimap", trimap_iou_counts)):
            calls[f"{name}, {classes} classes"] = partial(counts, p, t, classes, ignore_index=VOID)
    print("\nCost by the number of classes")
    for name, milliseconds in best_times(calls, repeats).items():
        print(f"  {name:34s}{milliseconds:10.1f} ms")


def share_of_a_network(truth: np.ndarray, repeats: int) -> None:
    """On a part of 256 x 512, which takes a CPU long enough."""
    from lightning_seg.networks import DeepLabV3Plus

    network = DeepLabV3Plus(3, encoder="resnet50", pretrained=False).eval()
    classify = torch.nn.Conv2d(network.out_channels, CLASSES, 1)
    image = torch.rand(1, 3, 256, 512)
    p, t = (
        torch.from_numpy(labels[256:512, 768:1280].copy())[None].long()
        for labels in (near(truth, 0), truth)
    )

    def forward() -> None:
        with torch.inference_mode():
            classify(network(image)["decoder"])

    def measures() -> None:
        boundary_iou_counts(p, t, CLASSES, ignore_index=VOID)
        trimap_iou_counts(p, t, CLASSES, ignore_index=VOID)
        boundary_f_counts(p, t, CLASSES, ignore_index=VOID, void="removed")

    times = best_times({"measures": measures, "forward": forward}, min(repeats, 3))
    share = times["measures"] / times["forward"]
    print(
        f"\nBoundary IoU, trimap IoU and F together {times['measures']:.0f} ms, a forward pass of "
        f"DeepLab v3+ (ResNet-50) {times['forward']:.0f} ms: {share:.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder with at least two PNG label maps")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="for PyTorch and OpenCV alike")
    parser.add_argument("--network", action="store_true", help="also a network's forward pass")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    truth, other = read_pair(options.root) if options.root else (street(0), street(1))
    print(f"{HEIGHT} x {WIDTH}, {CLASSES} classes, {options.threads} thread(s)")
    measure("Good prediction", near(truth, 0), truth, options.repeats)
    measure("Unrelated prediction", np.where(other == VOID, 0, other), truth, options.repeats)
    measure("5 % wrong pixels", noisy(truth, 0), truth, options.repeats)
    growth(truth, options.repeats)
    if options.network:
        share_of_a_network(truth, options.repeats)


if __name__ == "__main__":
    main()
