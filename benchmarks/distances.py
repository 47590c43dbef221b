"""Time of signed distances against SciPy's way, on CamVid labels at their own and larger size.

    python benchmarks/distances.py [--root data/camvid] [--scales 4 1] [--clip 32] [--frames 8]

SciPy's way is the usual one: two `distance_transform_edt` a class that is present, clipped. Both
ways turn the same label map into the same distances, which is checked. The runs take turns and the
best of each counts, so that other work on the machine matters less; both are then summed over the
frames.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lightning_seg.targets import signed_distance

CLASSES, VOID, VOID_ON_DISK = 11, 255, 11


def scipy_way(labels: NDArray, clip: float, void: str) -> NDArray:
    distances = np.full((CLASSES, *labels.shape), -clip, np.float32)
    for label in range(CLASSES):
        member = labels == label
        if not member.any():
            continue
        other = ~member if void == "background" else ~member & (labels != VOID)
        inside = distance_transform_edt(~other) if other.any() else np.float64(clip)
        outside = distance_transform_edt(~member)
        distances[label] = np.clip(np.where(member, inside, -outside), -clip, clip)
    return distances


def best_seconds(ways: list[Callable[[], object]], repeats: int) -> list[float]:
    """Best time of each way, the ways taking turns."""
    best = [float("inf")] * len(ways)
    for _ in range(repeats):
        for number, way in enumerate(ways):
            start = time.perf_counter()
            way()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def measured(labels: NDArray, options: argparse.Namespace) -> list[float]:
    """Seconds of SciPy's way and of ours, after a check that they agree."""
    mask = torch.from_numpy(labels)[None]

    def scipy() -> NDArray:
        return scipy_way(labels, options.clip, options.void)

    def ours() -> torch.Tensor:
        return signed_distance(mask, CLASSES, options.clip, VOID, options.void)

    valid = (labels != VOID) | (options.void == "background")
    difference = np.abs(ours()[0].numpy() - scipy())[:, valid].max(initial=0)
    if difference > 1e-4:
        sys.exit(f"The two ways differ by {difference} pixels: this is a bug, not a benchmark.")
    return best_seconds([scipy, ours], options.repeats)


def label_maps(root: Path, frames: int) -> list[NDArray]:
    """So many label maps, evenly spread over all of CamVid that lies at the root."""
    paths = sorted(root.glob("*annot/*.png"))
    if not paths:
        sys.exit(f"No label maps at {root}/*annot/*.png. Name CamVid's folder with --root.")
    chosen = [paths[number] for number in np.linspace(0, len(paths) - 1, frames).astype(int)]
    maps = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64) for path in chosen]
    return [np.where(labels == VOID_ON_DISK, VOID, labels) for labels in maps]


def hardware() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return f"{model}, {torch.get_num_threads()} threads of torch, {cv2.getNumThreads()} of OpenCV"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data/camvid"))
    parser.add_argument("--scales", type=int, nargs="+", default=[4, 1])
    parser.add_argument("--clip", type=float, default=32.0)
    parser.add_argument("--void", choices=["ignore", "background"], default="ignore")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of torch and OpenCV; default: theirs")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    maps = label_maps(options.root, options.frames)
    print(hardware())
    print(f"{len(maps)} frames, {CLASSES} classes, clip {options.clip:g} px, void: {options.void}")
    print(f"{'labels':>16}{'SciPy, ms':>12}{'ours, ms':>12}{'ratio':>9}")
    for scale in options.scales:
        enlarged = [labels.repeat(scale, 0).repeat(scale, 1) for labels in maps]
        scipy, ours = np.mean([measured(labels, options) for labels in enlarged], axis=0)
        size = "{} x {}".format(*enlarged[0].shape)
        print(f"{size:>16}{scipy * 1e3:>12.1f}{ours * 1e3:>12.1f}{scipy / ours:>8.1f}x")


if __name__ == "__main__":
    main()
