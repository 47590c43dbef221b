"""Lookup of a run's checkpoints."""

from pathlib import Path
from zipfile import is_zipfile

from lightning_seg.errors import InputError

CHECKPOINTS = "checkpoints"


def find_checkpoint(ckpt_path: str | None, run_dir: Path) -> str | None:
    """Return the path of a run's ``last`` or ``best`` checkpoint, or the given path; None for None.

    ``auto`` is ``last``, or else ``best`` (a run may be killed between the two), or else None.

    Raises:
        InputError: The file does not exist or is not a checkpoint.
    """
    if ckpt_path is None:
        return None
    folder = run_dir / CHECKPOINTS
    if ckpt_path == "auto":
        ckpt_path = next((n for n in ("last", "best") if (folder / f"{n}.ckpt").is_file()), None)
        if ckpt_path is None:
            return None
    path = folder / f"{ckpt_path}.ckpt" if ckpt_path in ("last", "best") else Path(ckpt_path)
    if not path.is_file():
        existing = ", ".join(sorted(p.name for p in folder.glob("*.ckpt"))) or "none"
        raise InputError(
            f"--ckpt_path {ckpt_path}: {path} does not exist. Checkpoints in {folder}: {existing}. "
            "Give last or best with the run's --run_dir, or the path of a checkpoint."
        )
    if not is_zipfile(path):
        raise InputError(
            f"--ckpt_path {ckpt_path}: {path} is not a checkpoint or is truncated. Give another."
        )
    return str(path)
