"""The small files of a run that a comparison reads, copied to keep."""

import shutil
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from lightning_seg.errors import InputError
from lightning_seg.experiments.comparison.runs import (
    CLASSES,
    CONFIG,
    COUNTS,
    EPOCHS,
    FIT,
    METRICS,
    RECORD,
    SPLITS,
    Run,
)

FILES = (
    CONFIG,
    FIT,
    EPOCHS,
    CLASSES,
    *(f"config_{command}.yaml" for command in SPLITS.values()),
    *(f"{split}/{name}" for split in SPLITS for name in (METRICS, COUNTS, RECORD)),
)


def export_record(run_dir: str | Path, output: str | Path) -> list[Path]:
    """Copies the files that `compare` reads, text of some hundred kilobytes, and returns them.

    Raises:
        InputError: There is none of them, or they would be copied onto themselves.
    """
    run_dir, output = Path(run_dir), Path(output)
    found = [name for name in FILES if (run_dir / name).is_file()]
    if not found:
        raise InputError(f"{run_dir} holds no run's records.")
    if run_dir.resolve() == output.resolve():
        raise InputError(f"{output} is the run itself; give another folder for its records.")
    for name in found:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run_dir / name, output / name)
    return [output / name for name in found]


def export_records(runs: Sequence[Run], output: str | Path) -> None:
    """Copies the records of several runs, into folders that lie to each other as the runs do."""
    folders = [run.folder.resolve() for run in runs]
    top = Path(commonpath(folders)) if len(folders) > 1 else folders[0].parent
    for folder in folders:
        export_record(folder, Path(output) / folder.relative_to(top))
