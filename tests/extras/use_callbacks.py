"""BoundaryMetrics and pictures in a plain module of lightning, and of pytorch_lightning."""

import sys
from importlib import import_module
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels


def samples():
    mask = torch.zeros(32, 48, dtype=torch.int64)
    mask[8:20, 10:30] = 1
    return [(torch.rand(3, 32, 48) + mask, mask) for _ in range(4)]


for library in ("lightning.pytorch", "pytorch_lightning"):
    pl = import_module(library)

    class Theirs(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, image):
            return self.net(image)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, _):
            self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = pl.Trainer(
        accelerator="cpu",
        default_root_dir=library,
        max_epochs=1,
        enable_progress_bar=False,
        callbacks=[BoundaryMetrics(2), PredictionPanels(1, num_classes=2)],
    )
    loader = DataLoader(samples(), batch_size=2)
    trainer.fit(Theirs(), loader, loader)
    scores = trainer.validate(trainer.lightning_module, loader)[0]
    assert 0 <= scores["val/boundary_iou"] <= 1
    assert list(Path(library).rglob("*.png")), "no picture was written"

heavy = {"albumentations", "jsonargparse", "timm", "rasterio"} & set(sys.modules)
assert not heavy, heavy
