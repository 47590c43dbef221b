"""Export of the small files of a run that a comparison reads."""

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
    *(f"{split}/{name}" for split in SPLITS for name in (CONFIG, METRICS, COUNTS, RECORD)),
)


def export_record(run_dir: str | Path, output: str | Path) -> list[Path]:
    """Copy the files that `compare` reads, a few hundred kB of text, and return their paths.

    Raises:
        InputError: If there are none, or source and destination are the same.
    """
    run_dir, output = Path(run_dir), Path(output)
    names = [name for name in FILES if (run_dir / name).is_file()]
    if not names:
        raise InputError(f"{run_dir} has no records of a run.")
    if run_dir.resolve() == output.resolve():
        raise InputError(f"{output} is the run itself; give another folder for its records.")
    for name in names:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run_dir / name, output / name)
    return [output / name for name in names]


def export_records(runs: Sequence[Run], output: str | Path) -> None:
    """Copy the records of several runs, preserving their relative folders."""
    folders = [run.folder.resolve() for run in runs]
    top = Path(commonpath(folders)) if len(folders) > 1 else folders[0].parent
    for folder in folders:
        export_record(folder, Path(output) / folder.relative_to(top))
