"""Protection of a run's folder: one training at a time, and no foreign file is replaced."""

import json
import os
import socket
from pathlib import Path
from typing import IO

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_seg.callbacks.run_record import ENVIRONMENT, EPOCHS, FIT, read_lines
from lightning_seg.checkpoints import CHECKPOINTS, list_checkpoints
from lightning_seg.errors import InputError
from lightning_seg.files import RUN_MARK

CONFIG, _LOCK = "config.yaml", ".lock"
# What commands write into a run's folder.
_CONTENT = (CONFIG, EPOCHS, FIT, "pictures", "predict", "resumed", "test", "val")


@rank_zero_only
def lock_run_folder(run_dir: Path) -> IO[str] | None:
    """Return an open file that locks the folder for this process, until it is closed or ends.

    Forked data workers, which may live a few seconds longer, do not hold the lock.

    Raises:
        InputError: If another process holds the lock.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    file = (run_dir / _LOCK).open("a+")
    try:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise InputError(
            f"{run_dir}: another fit (process {holder}) is writing into this folder. Wait for it, "
            "stop it, or give the new run another folder (--run_dir ...)."
        ) from None
    except (ImportError, OSError):  # Windows, or a file system without locks
        return file
    file.truncate(0)
    file.write(f"{os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


@rank_zero_only
def refuse_second_run(run_dir: Path) -> None:
    """Raise if a new run would mix with another or replace a file that is not a run's.

    A run that was killed before its first checkpoint can be started again.

    Raises:
        InputError: If the folder has a checkpoint, several epochs, a finished run, or a
            ``config.yaml`` that belongs to no run.
    """
    fit = run_dir / FIT
    finished = fit.exists() and json.loads(fit.read_text(encoding="utf-8")).get("finished", True)
    if list_checkpoints(run_dir / CHECKPOINTS) or finished or len(read_lines(run_dir / EPOCHS)) > 1:
        raise InputError(
            f"{run_dir} already contains a run. Resume it (--ckpt_path last, or auto in scripts "
            "that are started again and again), give the new run another folder (--run_dir ...), "
            "or remove the old one."
        )
    refuse_foreign_folder(run_dir)


@rank_zero_only
def refuse_foreign_folder(run_dir: Path) -> None:
    """Raise if the folder is not a run's and has a file or folder with the name of one of a run's.

    Otherwise mark the folder as a run's.
    """
    mark = run_dir / RUN_MARK
    if not mark.exists() and not (run_dir / ENVIRONMENT).exists():
        for name in _CONTENT:
            if os.path.lexists(run_dir / name):
                raise InputError(
                    f"{run_dir / name} belongs to no run and might be replaced. Give the run a "
                    "folder of its own (--run_dir runs/NAME), or rename the file."
                )
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
