"""Where a run's checkpoints lie."""

from pathlib import Path
from zipfile import is_zipfile

from lightning_seg.errors import InputError

CHECKPOINTS = "checkpoints"


def find_checkpoint(ckpt_path: str | None, run_dir: Path) -> str | None:
    """The path of ``last`` or ``best`` of a run, or the path given; None where none is.

    Raises:
        InputError: There is no such file, or it is no checkpoint.
    """
    if ckpt_path is None:
        return None
    folder = run_dir / CHECKPOINTS
    path = folder / f"{ckpt_path}.ckpt" if ckpt_path in ("last", "best") else Path(ckpt_path)
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in folder.glob("*.ckpt"))) or "none"
        raise InputError(
            f"--ckpt_path {ckpt_path}: there is no file {path}. Checkpoints in {folder}: {there}. "
            "Give last or best with the run's --run_dir, or the path of a checkpoint."
        )
    if not is_zipfile(path):
        raise InputError(
            f"--ckpt_path {ckpt_path}: {path} is no checkpoint, or is cut off. Give another one."
        )
    return str(path)
