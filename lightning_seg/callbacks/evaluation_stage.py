"""Name and dataloaders of the running validation or test."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader


def stage_of(trainer: Trainer) -> str:
    """Return ``val`` or ``test`` during such a stage."""
    return "test" if trainer.testing else "val"


def dataloaders(trainer: Trainer) -> list[Any]:
    """Return the dataloaders of the running stage in the order of their ``dataloader_idx``."""
    loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    if loaders is None:
        return []
    combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
    return list(combined.flattened)
