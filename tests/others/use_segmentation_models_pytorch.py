"""segmentation-models-pytorch's two Lightning notebooks: pets (binary) and CamVid (12 classes).

Their modules step by step, on smaller networks without downloaded weights.
"""

import sys

import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.metrics import BoundaryIoU


class Notebook(pl.LightningModule):
    """What both modules share."""

    def __init__(self, arch, out_classes, mode):
        super().__init__()
        self.model = smp.create_model(
            arch, encoder_name="resnet18", encoder_weights=None, in_channels=3, classes=out_classes
        )
        # What `smp.encoders.get_preprocessing_params` downloads.
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.loss_fn = smp.losses.DiceLoss(mode, from_logits=True)
        self.collected = {"train": [], "valid": []}

    def forward(self, image):
        return self.model((image - self.mean) / self.std)

    def collect(self, stage, loss, stats):
        info = {"loss": loss, **dict(zip(("tp", "fp", "fn", "tn"), stats, strict=True))}
        self.collected[stage].append(info)
        return info

    def training_step(self, batch, batch_idx):
        return self.shared_step(batch, "train")

    def validation_step(self, batch, batch_idx):
        return self.shared_step(batch, "valid")

    def shared_epoch_end(self, stage):
        infos = self.collected[stage]
        counts = {key: torch.cat([info[key] for info in infos]) for key in ("tp", "fp", "fn", "tn")}
        self.log_dict(
            {
                f"{stage}_per_image_iou": smp.metrics.iou_score(
                    **counts, reduction="micro-imagewise"
                ),
                f"{stage}_dataset_iou": smp.metrics.iou_score(**counts, reduction="micro"),
            },
            prog_bar=True,
        )
        infos.clear()

    def on_train_epoch_end(self):
        self.shared_epoch_end("train")

    def on_validation_epoch_end(self):
        self.shared_epoch_end("valid")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=2e-4)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1},
        }


class Pets(Notebook):
    """Batches are dicts of uint8 images, float masks (B, 1, H, W), and trimaps that it ignores."""

    def __init__(self):
        super().__init__("FPN", 1, smp.losses.BINARY_MODE)

    def shared_step(self, batch, stage):
        image, mask = batch["image"], batch["mask"]
        assert image.ndim == mask.ndim == 4
        logits = self.forward(image)
        loss = self.loss_fn(logits, mask)
        pred = (logits.sigmoid() > 0.5).float()
        stats = smp.metrics.get_stats(pred.long(), mask.long(), mode="binary")
        return self.collect(stage, loss, stats)


class CamVid(Notebook):
    """Batches are pairs of uint8 images and uint8 masks (B, H, W)."""

    def __init__(self):
        super().__init__("FPN", 12, smp.losses.MULTICLASS_MODE)
        self.number_of_classes = 12

    def shared_step(self, batch, stage):
        image, mask = batch
        mask = mask.long()
        assert image.ndim == 4
        assert mask.ndim == 3
        logits = self.forward(image).contiguous()
        loss = self.loss_fn(logits, mask)
        pred = logits.softmax(dim=1).argmax(dim=1)
        stats = smp.metrics.get_stats(
            pred, mask, mode="multiclass", num_classes=self.number_of_classes
        )
        return self.collect(stage, loss, stats)


def scenes(count=3):
    """Yield images (3, 64, 96) and masks (64, 96), both uint8."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        mask = torch.zeros(64, 96, dtype=torch.uint8)
        for label in range(1, 12):
            top, left = torch.randint(0, 60, (2,), generator=generator).tolist()
            mask[top : top + 25, left : left + 30] = label
        yield torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=generator), mask


def pets():
    for image, mask in scenes():
        binary = (mask > 5).float()[None]
        yield {"image": image, "mask": binary, "trimap": binary + 1}


def check(folder):
    for module, samples, num_classes in ((Pets, pets(), 2), (CamVid, scenes(), 12)):
        torch.manual_seed(0)
        model, loader = module(), DataLoader(list(samples), batch_size=2)
        trainer = pl.Trainer(
            accelerator="cpu",
            default_root_dir=f"{folder}/{module.__name__}",
            max_epochs=1,
            log_every_n_steps=1,
            enable_progress_bar=False,
            callbacks=[
                BoundaryMetrics(num_classes, report=False),
                PredictionPanels(1, num_classes=num_classes),
            ],
        )
        trainer.fit(model, train_dataloaders=loader, val_dataloaders=loader)
        [valid] = trainer.validate(model, dataloaders=loader, verbose=False)

        metric = BoundaryIoU(num_classes, ignore_index=255)
        model.eval()
        with torch.no_grad():
            for batch in loader:
                image, mask = list(batch.values())[:2] if isinstance(batch, dict) else batch
                scores = model(image)
                labels = scores.argmax(1) if num_classes > 2 else (scores[:, 0] > 0).long()
                metric.update(labels, mask.long().reshape(labels.shape))
        expected = metric.compute().item()
        assert 0 < expected < 1, expected
        assert abs(valid["val/boundary_iou"] - expected) < 1e-6, (valid, expected)
        assert {"valid_dataset_iou", "valid_per_image_iou"} <= valid.keys(), "its own"


if __name__ == "__main__":
    check(sys.argv[1])
