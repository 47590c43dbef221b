"""LightningModules in the styles of other people's projects, and data for them.

The images are scores: with the identity as network, the prediction is their largest channel.
"""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

K = 3


class Scenes(Dataset):
    """Rectangles on a background, and scores with a shift and some noise."""

    def __init__(self, count, as_dict=False, names=False, seed=0, void=True):
        self.count, self.as_dict, self.names, self.seed, self.void = (
            count, as_dict, names, seed, void,
        )  # fmt: skip

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError(index)
        g = torch.Generator().manual_seed(1000 * self.seed + index)
        mask = torch.zeros(24, 40, dtype=torch.int64)
        for label in (1, 2):
            top, left = torch.randint(0, 14, (2,), generator=g).tolist()
            mask[top : top + 9, left : left + 12] = label
        scores = F.one_hot(mask.roll(1, dims=1), K).permute(2, 0, 1).float()
        scores += 0.45 * torch.randn(scores.shape, generator=g)
        if self.void:
            mask[:3] = 255
        if not self.as_dict:
            return scores, mask
        sample = {"image": scores, "mask": mask}
        return sample | {"name": f"scene/{index}"} if self.names else sample


class Base(LightningModule):
    num_classes = K

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(K, K, 1, bias=False)
        with torch.no_grad():
            self.net.weight.copy_(torch.eye(K)[..., None, None])
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.net(x)

    def loss(self, batch):
        x, y = (batch["image"], batch["mask"]) if isinstance(batch, dict) else batch
        return F.cross_entropy(self(x), y, ignore_index=255)

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def configure_optimizers(self):
        # Nothing moves: every epoch predicts the same.
        return torch.optim.SGD(self.parameters(), lr=0.0)


class ReturnsNothing(Base):
    """Like terratorch: calls ``self(x)`` and returns None."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.loss(batch)

    test_step = validation_step


class ReturnsLoss(Base):
    """Like torchgeo: calls ``self(x)`` and returns the loss."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return self.loss(batch)

    test_step = validation_step


class ReturnsDict(Base):
    """Returns predictions and ground truth, and calls only a submodule."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return {
            "logits": self.net(batch["image"]),
            "mask": batch["mask"],
            "name": batch.get("name"),
        }

    test_step = validation_step

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        labels = self.net(batch["image"]).argmax(1).byte()
        return {"labels": labels, "name": batch["name"]}


class CallsForward(Base):
    """Like the notebooks of segmentation-models-pytorch: calls ``self.forward(x)``."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.forward(batch[0])


class HidesItself(Base):
    """Calls only a submodule and returns nothing."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.net(batch[0])


class RunsOnWindows(Base):
    """Like MONAI's tutorials: calls ``self.forward`` on windows, and its loss on what they make."""

    def __init__(self):
        super().__init__()
        self.loss_function = nn.CrossEntropyLoss(ignore_index=255)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        windows = [self.forward(window) for window in batch[0].split(20, dim=-1)]
        return {"val_loss": self.loss_function(torch.cat(windows, dim=-1), batch[1])}


class HasAnEdgeLoss(Base):
    """Calls only a submodule, and a loss on other scores with other labels of the mask's size."""

    def __init__(self):
        super().__init__()
        self.edge_loss = nn.CrossEntropyLoss()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        scores = self.net(batch[0])
        self.edge_loss(-scores, (batch[1] == 0).long())


class Silent(Base):
    """Calls no module and returns nothing."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        F.conv2d(batch[0], self.net.weight)


class Coarse(Base):
    """Like SegFormer: returns scores at a quarter of the image's height and width."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return {"logits": F.avg_pool2d(self(batch[0]), 4)}


class ChangesBatch(Base):
    """Removes the ground truth from the batch."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        batch.pop("mask")
        self(batch["image"])


class AugmentsItself(Base):
    """Runs itself on the image and on its mirror image."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self(batch[0])
        self(batch[0].flip(-1))


class WithDistances(ReturnsDict):
    """Returns a regressed map and its target with the logits, like `SegmentationTask`."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        outputs = super().validation_step(batch, batch_idx)
        distance = torch.tanh(4 * outputs["logits"] - 2)
        return outputs | {
            "predictions": {"distance": distance},
            "targets": {"distance": distance.sign()},
        }

    test_step = validation_step


def loader(count=5, batch_size=2, **kwargs):
    return DataLoader(Scenes(count, **kwargs), batch_size=batch_size)


def trainer(folder, *callbacks, **kwargs):
    settings = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "limit_train_batches": 1,
        "default_root_dir": str(folder),
    }
    return Trainer(callbacks=list(callbacks), **(settings | kwargs))
