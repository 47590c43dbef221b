"""MONAI's Lightning tutorial (spleen) in two dimensions: windows stitched by MONAI.

Images are larger and smaller than the windows, and tensors are MONAI's.
"""

import sys

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch, list_data_collate
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.transforms import AsDiscrete, Compose, EnsureChannelFirstd, EnsureType, EnsureTyped

from lightning_seg.callbacks import BoundaryMetrics, PredictionPanels
from lightning_seg.metrics import BoundaryIoU

KEYS = ["image", "label"]


class Net(LightningModule):
    def __init__(self, roi_size):
        super().__init__()
        self._model = UNet(
            spatial_dims=2, in_channels=1, out_channels=2, channels=(8, 16), strides=(2,)
        )
        self.roi_size = roi_size
        self.loss_function = DiceLoss(to_onehot_y=True, softmax=True)
        self.post_pred = Compose(
            [EnsureType("tensor", device="cpu"), AsDiscrete(argmax=True, to_onehot=2)]
        )
        self.post_label = Compose([EnsureType("tensor", device="cpu"), AsDiscrete(to_onehot=2)])
        self.dice_metric = DiceMetric(include_background=False, reduction="mean")

    def forward(self, x):
        return self._model(x)

    def configure_optimizers(self):
        return torch.optim.Adam(self._model.parameters(), 1e-4)

    def training_step(self, batch, batch_idx):
        loss = self.loss_function(self.forward(batch["image"]), batch["label"])
        return {"loss": loss, "log": {"train_loss": loss.item()}}

    def validation_step(self, batch, batch_idx):
        images, labels = batch["image"], batch["label"]
        outputs = sliding_window_inference(images, self.roi_size, 4, self.forward)
        loss = self.loss_function(outputs, labels)
        outputs = [self.post_pred(i) for i in decollate_batch(outputs)]
        labels = [self.post_label(i) for i in decollate_batch(labels)]
        self.dice_metric(y_pred=outputs, y=labels)
        return {"val_loss": loss, "val_number": len(outputs)}

    def on_validation_epoch_end(self):
        self.log("val_dice", self.dice_metric.aggregate().item())
        self.dice_metric.reset()


def dataset():
    rng = np.random.default_rng(0)
    samples = []
    for number in range(4):
        label = np.zeros((48, 48), np.float32)
        label[8 + 3 * number : 30, 12:33] = 1
        image = (label + 0.3 * rng.normal(size=label.shape)).astype(np.float32)
        samples.append({"image": image, "label": label})
    first = EnsureChannelFirstd(keys=KEYS, channel_dim="no_channel")
    return Dataset(samples, Compose([first, EnsureTyped(keys=KEYS)]))


def check(folder):
    data = dataset()
    assert isinstance(data[0]["image"], MetaTensor)
    train = DataLoader(data, batch_size=2, collate_fn=list_data_collate)
    for roi_size in ((32, 32), (64, 64)):
        torch.manual_seed(0)
        model = Net(roi_size)
        trainer = Trainer(
            accelerator="cpu",
            default_root_dir=folder,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            callbacks=[BoundaryMetrics(2, report=False), PredictionPanels(1, num_classes=2)],
        )
        loader = DataLoader(data, batch_size=1)
        trainer.fit(model, train, loader)
        [scores] = trainer.validate(model, loader, verbose=False)

        metric = BoundaryIoU(2)
        with torch.no_grad():
            for batch in loader:
                stitched = sliding_window_inference(batch["image"], roi_size, 4, model.eval())
                metric.update(stitched.as_tensor(), batch["label"].as_tensor()[:, 0].long())
        expected = metric.compute().item()
        assert 0 < expected < 1, expected
        assert abs(scores["val/boundary_iou"] - expected) < 1e-6, (scores, expected)
        assert "val_dice" in scores, "its own"


if __name__ == "__main__":
    check(sys.argv[1])
