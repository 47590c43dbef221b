"""BoundaryMetrics in a LightningModule that does not use lightning_seg.

    python examples/foreign_module.py

The callback takes predictions from the module's forward pass and ground truth from its batches,
logs ``val/boundary_iou`` and more, prints a table and writes to ``runs/foreign_module``.
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics


class Theirs(LightningModule):
    """Any segmentation module."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to class scores (B, 2, H, W)."""
        return self.net(image)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross entropy."""
        image, mask = batch
        return nn.functional.cross_entropy(self(image), mask)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the cross entropy."""
        image, mask = batch
        self.log("val/loss", nn.functional.cross_entropy(self(image), mask))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def squares(number: int) -> list[tuple[Tensor, Tensor]]:
    """Return noisy images of one bright square each, and their masks."""
    generator = torch.Generator().manual_seed(number)
    samples = []
    for _ in range(number):
        top, left = torch.randint(0, 32, (2,), generator=generator).tolist()
        mask = torch.zeros(64, 64, dtype=torch.long)
        mask[top : top + 24, left : left + 24] = 1
        samples.append((0.5 * mask + 0.5 * torch.rand(3, 64, 64, generator=generator), mask))
    return samples


if __name__ == "__main__":
    validation = DataLoader(squares(16), batch_size=4)
    trainer = Trainer(
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        default_root_dir="runs/foreign_module",  # tables and charts go here
        callbacks=[BoundaryMetrics(2)],
    )
    module = Theirs()
    trainer.fit(module, DataLoader(squares(64), batch_size=8), validation)
    trainer.validate(module, validation)
