"""Time and peak memory of a training step on the CPU if the allocator keeps freed memory.

    python benchmarks/memory.py [--encoder resnet18] [--batch-size 2] [--size 512 512] [--rounds 3]

glibc gives large blocks back to the system when they are freed, and every step gets them anew, page
by page, filled with zeros. Two settings keep them: as environment variables before the start
(`environment`), or by `mallopt` in the running process (`mallopt`). A process of its own for each
way makes the same step (U-Net, cross entropy, AdamW, one thread); all are alive together and take
turns. The median of their CPU times counts, so that other work on the machine matters less, and
the largest resident set. Linux with glibc alone.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import time
from statistics import median

import torch
import torch.nn.functional as F
from distances import hardware

from lightning_seg.networks import Unet

WAYS = ("default", "environment", "mallopt")
ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
CLASSES = 19


def keep_memory() -> None:
    """Tell glibc to keep freed memory: no blocks of their own from the system, no trimming."""
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, -1)):
        sys.exit("mallopt refused the settings")


def serve(way: str, options: argparse.Namespace) -> None:
    """Make a step for each line of the input and print its CPU time, faults and peak memory."""
    if way == "mallopt":
        keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Unet(3, options.encoder).to(memory_format=torch.channels_last).train()
    classifier = torch.nn.Conv2d(network.out_channels, CLASSES, 1)
    optimizer = torch.optim.AdamW([*network.parameters(), *classifier.parameters()], lr=1e-3)
    image = torch.rand(options.batch_size, 3, *options.size)
    mask = torch.randint(0, CLASSES, (options.batch_size, *options.size))
    for _ in sys.stdin:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            logits = classifier(network(image)["decoder"])
            logits = F.interpolate(logits, size=mask.shape[1:], mode="bilinear")
            loss = F.cross_entropy(logits.float(), mask)
        loss.backward()
        optimizer.step()
        seconds, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF)
        faults, system = after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime
        print(seconds, system, faults, after.ru_maxrss / 1024, flush=True)


def start(way: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    environment.pop("GLIBC_TUNABLES", None)
    if way == "environment":
        environment |= ENVIRONMENT
    command = [sys.executable, __file__, "--serve", way, *sys.argv[1:]]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def step(process: subprocess.Popen[str]) -> list[float]:
    """What a step of the process takes: CPU seconds, those of the system, faults, peak MiB."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("step\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit("A process ended before its step, see above.")
    return [float(value) for value in line.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=[512, 512], help="in pixels")
    parser.add_argument("--bfloat16", action="store_true", help="with autocast to bfloat16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options)
        return
    processes = {way: start(way) for way in WAYS}
    figures: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(1 + options.rounds):
        for way in WAYS[:: 1 if number % 2 else -1]:
            figures[way].append(step(processes[way]))
    for process in processes.values():
        process.communicate()
    precision = "bfloat16" if options.bfloat16 else "float32"
    print(
        f"{hardware()}; torch {torch.__version__}, {os.confstr('CS_GNU_LIBC_VERSION')}\n"
        f"{options.batch_size} x {' x '.join(map(str, options.size))}, U-Net with "
        f"{options.encoder}, {precision}, one thread, {options.rounds} rounds\n\n"
        "| memory | CPU s a step | of the system | page faults | time | peak MiB | peak |\n"
        + "|---" * 7
        + "|"
    )
    plain = figures["default"][1:]  # the first step also starts libraries
    for way, (_, *own) in figures.items():
        ratio = median(a[0] / b[0] for a, b in zip(own, plain, strict=True))
        seconds, system, faults, peak = (median(values) for values in zip(*own, strict=True))
        print(
            f"| {way} | {seconds:.2f} | {system:.2f} | {faults:.0f} | {ratio:.2f}x | {peak:.0f} "
            f"| {peak / plain[-1][3]:.2f}x |"
        )


if __name__ == "__main__":
    main()
