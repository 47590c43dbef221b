"""Stage one of SEMEDA: training of a network that detects edges in label maps."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Adam, Optimizer
from torchmetrics.classification import BinaryF1Score

from lightning_seg.errors import InputError
from lightning_seg.losses import cross_entropy
from lightning_seg.metrics import PerSampleMean
from lightning_seg.networks import EdgeNetwork
from lightning_seg.targets import semantic_edges
from lightning_seg.targets._masks import one_hot
from lightning_seg.tasks.class_legend import legend_of_data


class EdgeDetectionTask(LightningModule):
    """Train an `EdgeNetwork` on label maps alone, for `SemedaLoss` (Chen et al. 2020, eq. 7).

    Batches are dicts with ``mask`` (B, H, W) int64; images are not used. The targets are the edges
    of `semantic_edges`. Logs ``edge_f1``, pooled over all valid pixels, and ``loss`` under
    ``train/``, ``val/`` and ``test/``. `SemedaLoss` loads the checkpoints. They hold the number of
    classes, and the class names if the DataModule has ``class_names``.

    Args:
        num_classes: K; the command line takes it from the data.
        learning_rate: Learning rate of Adam.
        ignore_index: Label of ignored pixels, which neither are nor form edges.

    Attributes:
        masks_alone: Tells our DataModules to read no images.
    """

    masks_alone = True

    def __init__(
        self, num_classes: int, learning_rate: float = 1e-3, ignore_index: int = 255
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = EdgeNetwork(num_classes)
        self.learning_rate = learning_rate
        self.ignore_index = ignore_index
        self.train_f1, self.val_f1, self.test_f1 = (self._f1() for _ in range(3))
        self.val_loss, self.test_loss = PerSampleMean(), PerSampleMean()

    def _f1(self) -> BinaryF1Score:
        return BinaryF1Score(ignore_index=self.ignore_index, validate_args=False)

    def setup(self, stage: str) -> None:
        """Copy the class names from the DataModule.

        Raises:
            InputError: The masks have several labels per pixel.
        """
        if getattr(getattr(self.trainer, "datamodule", None), "multi_label", False):
            raise InputError(
                "edge networks are trained on masks with one label per pixel. Set data.multi_label "
                "to false and give such masks."
            )
        names = legend_of_data(self, "class_names", self.network.num_classes)
        if names is not None:
            self.network.class_names = names

    def forward(self, mask: Tensor) -> Tensor:
        """Map label maps (B, H, W) to logits (B, 2, H, W) of no edge and edge."""
        return self.network(one_hot(mask, self.network.num_classes, self.ignore_index))

    def edges(self, mask: Tensor) -> Tensor:
        """Return the edges of label maps (B, H, W): int64 0, 1, or ``ignore_index`` if ignored."""
        edges = semantic_edges(mask, self.ignore_index).long()
        return edges.masked_fill(mask == self.ignore_index, self.ignore_index)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Return the cross entropy of the edges of one batch."""
        logits, edges = self(batch["mask"]), self.edges(batch["mask"])
        loss = cross_entropy(logits, edges, ignore_index=self.ignore_index)
        self.train_f1.update(logits.argmax(dim=1), edges)
        self.log("train/loss", loss, batch_size=len(edges))
        self.log("train/edge_f1", self.train_f1, on_step=False, on_epoch=True)
        return loss

    def validation_step(
        self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log ``val/edge_f1`` and ``val/loss``, averaged over images."""
        self._evaluate(batch["mask"], self.val_f1, self.val_loss)
        self.log("val/edge_f1", self.val_f1, prog_bar=True, add_dataloader_idx=False)
        self.log("val/loss", self.val_loss, add_dataloader_idx=False)

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the same as `validation_step` under ``test/``."""
        self._evaluate(batch["mask"], self.test_f1, self.test_loss)
        self.log("test/edge_f1", self.test_f1, add_dataloader_idx=False)
        self.log("test/loss", self.test_loss, add_dataloader_idx=False)

    def predict_step(self, *args: Any) -> None:
        """Raise, because images to predict have no label maps."""
        raise InputError(
            "an edge network detects edges in label maps and cannot predict from images; "
            "use it in the loss of a segmentation model (SemedaLoss)"
        )

    def _evaluate(self, mask: Tensor, f1: BinaryF1Score, mean_loss: PerSampleMean) -> None:
        logits, edges = self(mask), self.edges(mask)
        f1.update(logits.argmax(dim=1), edges)
        images = zip(logits.split(1), edges.split(1), strict=True)
        losses = [cross_entropy(*image, ignore_index=self.ignore_index) for image in images]
        mean_loss.update(torch.stack(losses))

    def configure_optimizers(self) -> Optimizer:
        """Return Adam."""
        return Adam(self.parameters(), lr=self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Mark the checkpoint as an edge network's, see `EdgeNetwork.from_checkpoint`."""
        names = self.network.class_names
        checkpoint["edge_network"] = {"class_names": None if names is None else list(names)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the class names."""
        if "edge_network" not in checkpoint:
            raise InputError(
                "the checkpoint is not one of an edge network (EdgeDetectionTask); choose one of "
                "the run that trained it, or run fit without --ckpt_path to train from scratch"
            )
        names = checkpoint["edge_network"]["class_names"]
        self.network.class_names = None if names is None else tuple(names)
