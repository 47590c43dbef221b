"""Time to start: the command line's help and the metrics, each against the library it stands on.

    python benchmarks/start.py [--rounds 5]

Each command runs in a process of its own, with bytecode compiled by a run that does not count. The
commands take turns and the best of each counts, both in CPU time and on the wall clock.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

PAIRS = {
    "lightning-seg --help": (
        ["-m", "lightning_seg.cli", "--help"],
        "import lightning.pytorch",
        1.5,
    ),
    "import lightning_seg.metrics": (
        ["-c", "import lightning_seg.metrics"],
        "import torchmetrics",
        1.2,
    ),
}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall-clock seconds of Python with these arguments."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("| start | CPU, s | wall, s | relative to | CPU, s | wall, s | CPU ratio | aim |")
    print("|---" * 8 + "|")
    for name, (command, other, aim) in PAIRS.items():
        ways = (command, ["-c", other])
        runs = [[seconds(way) for way in ways] for _ in range(options.rounds + 1)][1:]
        (cpu, wall), (other_cpu, other_wall) = (
            [min(times) for times in zip(*own, strict=True)] for own in zip(*runs, strict=True)
        )
        print(
            f"| `{name}` | {cpu:.2f} | {wall:.2f} | `{other}` | {other_cpu:.2f} "
            f"| {other_wall:.2f} | {cpu / other_cpu:.2f}x | {aim}x |"
        )


if __name__ == "__main__":
    main()
