"""What a process runs on and from: versions, hardware, commit, seed, memory."""

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
# Lightning's `seed_everything` leaves the seed here, also for the processes that it starts.
_SEED = "PL_GLOBAL_SEED"


def environment() -> dict[str, Any]:
    """Command, commit, seed, versions and hardware of this process."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(Path(lightning_seg.__file__).resolve().parents[1]),
        "seeds": {"seed_everything": global_seed()},
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: v for name in _PACKAGES if (v := _version(name))},
    }


def global_seed() -> int | None:
    """What ``seed_everything`` was given, or None."""
    seed = os.environ.get(_SEED, "")
    return int(seed) if seed.lstrip("-").isdigit() else None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout whose top is ``folder``; ``dirty`` if a tracked file was changed.

    None where the folder is no checkout's top: an installed package may lie within another
    project's checkout, whose commit says nothing of it.
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
    """Forgets the device's peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Peaks in bytes, of the process that needed most; every process must call it.

    ``host_bytes`` is the resident memory of a process since it began, without its data workers;
    ``device_bytes`` what tensors took on the device since `start_memory`. None where the system
    does not tell, or the device is the host.
    """
    device_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    own = {"host_bytes": _host_peak(), "device_bytes": device_bytes}
    every: list[Any] = [own]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        every = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(every, own)
    return {key: largest(*(one[key] for one in every)) for key in own}


def largest(*values: int | None) -> int | None:
    """The largest of those that are known."""
    return max((value for value in values if value is not None), default=None)


def _host_peak() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
