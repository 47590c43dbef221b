"""Environment of a process: versions, hardware, commit, seed, memory."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.distributed

import lightning_seg

_PACKAGES = (
    "lightning_seg",
    "lightning",
    "torch",
    "torchvision",
    "torchmetrics",
    "timm",
    "albumentations",
    "numpy",
    "scipy",
    "opencv-python-headless",
)
# Lightning's `seed_everything` stores the seed here, also for its child processes.
_SEED = "PL_GLOBAL_SEED"


def environment() -> dict[str, Any]:
    """Return the command, commit, seed, versions and hardware of this process."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(Path(lightning_seg.__file__).resolve().parents[1]),
        "seeds": {"seed_everything": global_seed()},
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": processor(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: v for name in _PACKAGES if (v := _version(name))},
    }


def processor() -> str:
    """Return the model name of the processor, or its architecture where the system has no name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def global_seed() -> int | None:
    """Return the seed that was passed to ``seed_everything``, or None."""
    seed = os.environ.get(_SEED, "")
    return int(seed) if seed.lstrip("-").isdigit() else None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the checkout at ``folder``, and ``dirty`` if a tracked file changed.

    None if the folder is not the top of a checkout: an installed package may be inside another
    project's checkout, whose commit is irrelevant.
    """
    top, commit = _git(folder, "rev-parse", "--show-toplevel"), _git(folder, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top).resolve() != folder.resolve():
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def start_memory(device: torch.device) -> None:
    """Reset the device's peak memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Return the peak memory in bytes, as maxima over all processes; call it on every process.

    ``host_bytes`` is the peak resident memory of a process, without its data workers.
    ``device_bytes`` is the peak memory of tensors on the device since `start_memory`. A value is
    None if the system does not report it, or if the device is the CPU.
    """
    device_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    own = {"host_bytes": _host_peak(), "device_bytes": device_bytes}
    every: list[Any] = [own]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        every = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(every, own)
    return {key: largest(*(peaks[key] for peaks in every)) for key in own}


def largest(*values: int | None) -> int | None:
    """Return the largest value that is not None, or None."""
    return max((value for value in values if value is not None), default=None)


def _host_peak() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
