"""terratorch's segmentation task with a loss of ours, tested on whole images and in tiles."""

import sys

import torch
from lightning.pytorch import LightningDataModule, Trainer
from terratorch.tasks import SemanticSegmentationTask
from torch.utils.data import DataLoader

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.losses import FocalLoss
from lightning_seg.metrics import BoundaryIoU

CLASSES = ["ground", "building", "tree"]
VOID = 9


class Scenes(LightningDataModule):
    """Images (3, 64, 64) and masks with ignored rows; the data module names nothing."""

    @staticmethod
    def scenes(count):
        generator = torch.Generator().manual_seed(count)
        for number in range(count):
            mask = torch.zeros(64, 64, dtype=torch.int64)
            top, left = torch.randint(4, 30, (2,), generator=generator).tolist()
            mask[top : top + 20, left : left + 25] = 1
            mask[left : left + 9, top : top + 9] = 2
            image = mask + 0.3 * torch.randn(3, 64, 64, generator=generator)
            mask[:3] = VOID
            yield {"image": image, "mask": mask, "filename": f"{number}.tif"}

    def train_dataloader(self):
        return DataLoader(list(self.scenes(4)), batch_size=2)

    def val_dataloader(self):
        return DataLoader(list(self.scenes(3)), batch_size=2)

    test_dataloader = val_dataloader


def task(tiled):
    return SemanticSegmentationTask(
        model_factory="EncoderDecoderFactory",
        model_args={
            "backbone": "timm_resnet18",
            "backbone_pretrained": False,
            "necks": [{"name": "SelectIndices", "indices": [1]}],
            "decoder": "FCNDecoder",
            "decoder_channels": 8,
            "num_classes": len(CLASSES),
        },
        loss=FocalLoss(ignore_index=VOID),
        ignore_index=VOID,
        class_names=CLASSES,
        plot_on_val=False,
        tiled_inference_parameters={"crop": 48, "stride": 32},
        tiled_inference_on_testing=tiled,
    )


def by_hand(module):
    metric = BoundaryIoU(len(CLASSES), ignore_index=VOID)
    with torch.no_grad():
        for batch in Scenes().test_dataloader():
            scores = module.handle_full_or_tiled_inference(
                batch["image"], module.tiled_inference_on_testing
            )
            metric.update(scores.output, batch["mask"])
    return metric.compute().item()


def check(folder):
    for tiled in (False, True):
        torch.manual_seed(0)
        module = task(tiled)
        trainer = Trainer(
            accelerator="cpu",
            default_root_dir=folder,
            max_epochs=1,
            enable_progress_bar=False,
            callbacks=[BoundaryMetrics(report=False), PredictionPanels(1)],
        )
        trainer.fit(module, datamodule=Scenes())
        assert trainer.global_step == 2
        [scores] = trainer.test(module, datamodule=Scenes(), verbose=False)
        expected = by_hand(module.eval())
        assert 0 < expected < 1, expected
        assert abs(scores["test/boundary_iou"] - expected) < 1e-6, (scores, expected)
        assert "test/mIoU" in scores, "terratorch's own"


if __name__ == "__main__":
    check(sys.argv[1])
