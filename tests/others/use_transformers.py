"""SegFormer of transformers, whose step returns the model's loss: scores at a quarter."""

import sys

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.errors import InputError
from lightning_seg.metrics import BoundaryIoU

K = 3


class Finetuning(LightningModule):
    def __init__(self):
        super().__init__()
        sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
        config = SegformerConfig(num_labels=K, decoder_hidden_size=8, **sizes)
        self.model = SegformerForSemanticSegmentation(config)

    def training_step(self, batch, batch_idx):
        return self.model(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss

    def validation_step(self, batch, batch_idx):
        loss = self.model(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss
        self.log("val_loss", loss)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=6e-5)


def samples():
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        labels = torch.zeros(64, 96, dtype=torch.int64)
        for label in (1, 2):
            top, left = torch.randint(0, 40, (2,), generator=generator).tolist()
            labels[top : top + 20, left : left + 30] = label
        image = labels + torch.randn(3, 64, 96, generator=generator)
        labels[:3] = 255
        yield {"pixel_values": image, "labels": labels}


def trainer(folder, *callbacks):
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=list(callbacks),
    )


def check(folder):
    torch.manual_seed(0)
    model, loader = Finetuning(), DataLoader(list(samples()), batch_size=2)
    message = ""
    try:
        trainer(folder, BoundaryMetrics(K)).fit(model, loader, loader)
    except InputError as error:
        message = str(error)
    assert "set resize=True" in message, message
    callbacks = BoundaryMetrics(K, resize=True, report=False), PredictionPanels(1, num_classes=K)
    trainer(folder, *callbacks).fit(model, loader, loader)
    [scores] = trainer(folder, callbacks[0]).validate(model, loader, verbose=False)

    metric = BoundaryIoU(K, ignore_index=255)
    with torch.no_grad():
        for batch in loader:
            logits = model.eval().model(batch["pixel_values"]).logits
            metric.update(interpolate(logits, (64, 96), mode="bilinear"), batch["labels"])
    expected = metric.compute().item()
    assert 0 < expected < 1, expected
    assert abs(scores["val/boundary_iou"] - expected) < 1e-6, (scores, expected)
    assert "val_loss" in scores, "its own"


if __name__ == "__main__":
    check(sys.argv[1])
