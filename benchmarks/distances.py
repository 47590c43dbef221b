"""Time of signed distances against SciPy's way, on CamVid labels at their own and larger size.

    python benchmarks/distances.py [--root data/camvid] [--scales 4 1] [--clip 32] [--frames 8]
    python benchmarks/distances.py --scales 5 --cut 1024 2048    # Cityscapes' size
    python benchmarks/distances.py --batch cuda

SciPy's way is the usual one: two `distance_transform_edt` a class that is present, clipped. Both
ways turn the same label map into the same distances, which is checked. The runs take turns and the
best of each counts, so that other work on the machine matters less; both are then summed over the
frames.

With ``--batch`` it is instead the time and the memory of every distance of a batch of 16 label maps
of 512 x 512 pixels with 19 classes on a device, as training steps compute them.
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

from lightning_seg.targets import boundary_distance, inner_distance, signed_distance

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


def middle(labels: NDArray, height: int, width: int) -> NDArray:
    if height > labels.shape[0] or width > labels.shape[1]:
        sys.exit(f"--cut is larger than the labels, {labels.shape[0]} x {labels.shape[1]} pixels.")
    top, left = (labels.shape[0] - height) // 2, (labels.shape[1] - width) // 2
    return np.ascontiguousarray(labels[top : top + height, left : left + width])


def print_batch(maps: list[NDArray], options: argparse.Namespace) -> None:
    """Best time and peak memory of each kind of distance on the device."""
    device, classes, side = torch.device(options.batch), 19, 512
    enlarged = [labels.repeat(2, 0).repeat(2, 1)[:side, :side] for labels in maps]
    crops = [enlarged[number % len(enlarged)] for number in range(16)]
    mask = torch.from_numpy(np.stack(crops)).to(device)
    ways = {
        f"signed, clip {options.clip:g}": lambda: signed_distance(mask, classes, options.clip),
        "signed, unclipped": lambda: signed_distance(mask, classes),
        "inner, unclipped": lambda: inner_distance(mask, classes),
        "level sets": lambda: boundary_distance(mask, classes),
    }
    on_gpu = device.type == "cuda"
    print(torch.cuda.get_device_name(device) if on_gpu else hardware())
    print(f"16 x {side} x {side}, {classes} classes, void: ignore but for level sets")
    print(f"{'distance':>20}{'ms':>12}{'peak MB':>12}")
    for name, way in ways.items():
        way()  # compiles
        if on_gpu:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        times = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            # Many at once, so that the GPU never waits for the host.
            calls = 20 if on_gpu else 1
            for _ in range(calls):
                way()
            if on_gpu:
                torch.cuda.synchronize(device)
            times.append((time.perf_counter() - start) / calls)
        peak = f"{torch.cuda.max_memory_allocated(device) / 1e6:.0f}" if on_gpu else "-"
        print(f"{name:>20}{min(times) * 1e3:>12.3f}{peak:>12}")


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
    parser.add_argument("--cut", type=int, nargs=2, help="height and width of the middle to keep")
    parser.add_argument("--clip", type=float, default=32.0)
    parser.add_argument("--void", choices=["ignore", "background"], default="ignore")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of torch and OpenCV; default: theirs")
    parser.add_argument("--batch", metavar="DEVICE", help="cpu or cuda: times of a whole batch")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    maps = label_maps(options.root, options.frames)
    if options.batch:
        print_batch(maps, options)
        return
    print(hardware())
    print(f"{len(maps)} frames, {CLASSES} classes, clip {options.clip:g} px, void: {options.void}")
    print(f"{'labels':>16}{'SciPy, ms':>12}{'ours, ms':>12}{'ratio':>9}")
    for scale in options.scales:
        enlarged = [labels.repeat(scale, 0).repeat(scale, 1) for labels in maps]
        if options.cut:
            enlarged = [middle(labels, *options.cut) for labels in enlarged]
        scipy, ours = np.mean([measured(labels, options) for labels in enlarged], axis=0)
        size = "{} x {}".format(*enlarged[0].shape)
        print(f"{size:>16}{scipy * 1e3:>12.1f}{ours * 1e3:>12.1f}{scipy / ours:>8.1f}x")


if __name__ == "__main__":
    main()
