"""Pictures in the loggers of a trainer."""

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
