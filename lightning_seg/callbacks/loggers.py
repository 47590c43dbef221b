"""Pictures and tables in the loggers of a trainer."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray


def log_picture(trainer: Trainer, name: str, pixels: NDArray[np.uint8]) -> None:
    """Add a picture (H, W, 3) to every logger that takes pictures, of the global process alone.

    These are TensorBoard, those with a method ``log_image`` such as Weights & Biases, and MLflow,
    as an artifact. Loggers of ``pytorch_lightning`` work like those of ``lightning.pytorch``.
    """
    step = trainer.global_step
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        if hasattr(logger, "log_image"):
            logger.log_image(name, [pixels], step=step)
        elif hasattr(logger.experiment, "add_image"):
            logger.experiment.add_image(name, pixels, step, dataformats="HWC")
        elif hasattr(logger.experiment, "log_image") and hasattr(logger, "run_id"):
            logger.experiment.log_image(logger.run_id, pixels, f"{name}_step_{step:06d}.png")


def log_table(
    trainer: Trainer, name: str, rows: Sequence[Mapping[str, str | float | None]]
) -> None:
    """Add a table to every logger that takes tables, of the global process alone.

    It is a table in Weights & Biases, text in TensorBoard, and a CSV file among the artifacts in
    MLflow, whose own tables need pandas and grow if they are logged again. All rows have the keys
    of the first.
    """
    step, columns, data = trainer.global_step, list(rows[0]), [list(row.values()) for row in rows]
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        if hasattr(logger, "log_table"):
            logger.log_table(name, columns, data, step=step)
        elif hasattr(logger.experiment, "add_text"):
            logger.experiment.add_text(name, _markdown(columns, data), step)
        elif hasattr(logger.experiment, "log_text") and hasattr(logger, "run_id"):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([columns, *data])
            path = f"{name}_step_{step:06d}.csv"
            logger.experiment.log_text(logger.run_id, text.getvalue(), path)


def _markdown(columns: list[str], data: Sequence[list[Any]]) -> str:
    rows = [columns, ["---"] * len(columns), *data]
    cells = [["" if v is None else str(v).replace("|", "\\|") for v in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
