"""Script of a torchgeo project; arguments: folder, number of processes."""

import json
import sys
from pathlib import Path

import torch
from foreign_modules import K, Scenes
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader
from torchgeo.trainers import SemanticSegmentationTask

from lightning_seg.callbacks import BoundaryMetrics

COUNT = 7


def scenes():
    return Scenes(COUNT, as_dict=True)


def task():
    seed_everything(0)
    return SemanticSegmentationTask(
        "unet", "resnet18", in_channels=K, num_classes=K, loss="ce", ignore_index=255
    )


class Loaders:
    """Image sizes are multiples of 32, as torchgeo's networks require."""

    @staticmethod
    def collate(samples):
        padded = [torch.nn.functional.pad(s["image"], (0, 24, 0, 8)) for s in samples]
        masks = [torch.nn.functional.pad(s["mask"], (0, 24, 0, 8), value=255) for s in samples]
        return {"image": torch.stack(padded), "mask": torch.stack(masks)}

    @classmethod
    def make(cls, batch_size=2):
        return DataLoader(scenes(), batch_size=batch_size, collate_fn=cls.collate)


def main(folder, devices):
    torch.set_num_threads(1)
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[BoundaryMetrics()],
    )
    [logged] = trainer.validate(task(), Loaders.make(), verbose=False)
    if trainer.is_global_zero:
        (Path(folder) / "logged.json").write_text(json.dumps(logged))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
