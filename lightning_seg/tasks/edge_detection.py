"""Stage one of SEMEDA: a network learns to find the edges of label maps."""

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
from lightning_seg.targets._one_hot import one_hot
from lightning_seg.tasks.class_legend import told_by_data


class EdgeDetectionTask(LightningModule):
    """Trains an `EdgeNetwork` on label maps alone, for `SemedaLoss` (Chen et al. 2020, eq. 7).

    Batches are dicts with ``mask`` (B, H, W) int64; images in them are ignored. The edges to be
    found are those of `semantic_edges`. Logs ``edge_f1``, pooled over all valid pixels, and
    ``loss`` under ``train/``, ``val/`` and ``test/``. Its checkpoints are what `SemedaLoss` loads;
    they hold the number of classes, and their names where the DataModule has ``class_names``.

    Args:
        num_classes: K; the command line takes it from the data.
        learning_rate: Of Adam.
        ignore_index: Label of void pixels, which are no edges and make none.
    """

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
        """Takes the names of the classes from the DataModule."""
        names = told_by_data(self, "class_names", self.network.num_classes)
        if names is not None:
            self.network.class_names = names

    def forward(self, mask: Tensor) -> Tensor:
        """Label map (B, H, W) to logits (B, 2, H, W): no edge, edge."""
        return self.network(one_hot(mask, self.network.num_classes, self.ignore_index))

    def edges(self, mask: Tensor) -> Tensor:
        """Label map (B, H, W) to its edges, (B, H, W) int64: 0, 1 and ``ignore_index`` at void."""
        edges = semantic_edges(mask, self.ignore_index).long()
        return edges.masked_fill(mask == self.ignore_index, self.ignore_index)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Cross entropy of the edges in one batch of label maps."""
        logits, edges = self(batch["mask"]), self.edges(batch["mask"])
        loss = cross_entropy(logits, edges, ignore_index=self.ignore_index)
        self.train_f1.update(logits.argmax(dim=1), edges)
        self.log("train/loss", loss, batch_size=len(edges))
        self.log("train/edge_f1", self.train_f1, on_step=False, on_epoch=True)
        return loss

    def validation_step(
        self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Logs ``val/edge_f1`` and ``val/loss``, averaged image by image."""
        self._evaluate(batch["mask"], self.val_f1, self.val_loss)
        self.log("val/edge_f1", self.val_f1, prog_bar=True, add_dataloader_idx=False)
        self.log("val/loss", self.val_loss, add_dataloader_idx=False)

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        """As `validation_step`, logged under ``test/``."""
        self._evaluate(batch["mask"], self.test_f1, self.test_loss)
        self.log("test/edge_f1", self.test_f1, add_dataloader_idx=False)
        self.log("test/loss", self.test_loss, add_dataloader_idx=False)

    def predict_step(self, *args: Any) -> None:
        """Refused: what is to be predicted has no label map.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "an edge network finds edges in label maps, and has nothing to predict from images; "
            "use it in the loss of a segmentation model (SemedaLoss)"
        )

    def _evaluate(self, mask: Tensor, f1: BinaryF1Score, mean_loss: PerSampleMean) -> None:
        logits, edges = self(mask), self.edges(mask)
        f1.update(logits.argmax(dim=1), edges)
        images = zip(logits.split(1), edges.split(1), strict=True)
        losses = [cross_entropy(*image, ignore_index=self.ignore_index) for image in images]
        mean_loss.update(torch.stack(losses))

    def configure_optimizers(self) -> Optimizer:
        """Adam."""
        return Adam(self.parameters(), lr=self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Marks it as an edge network's, see `EdgeNetwork.from_checkpoint`."""
        names = self.network.class_names
        checkpoint["edge_network"] = {"class_names": None if names is None else list(names)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers the names of the classes.

        Raises:
            InputError: It is the checkpoint of something else.
        """
        if "edge_network" not in checkpoint:
            raise InputError(
                "the checkpoint is not one of an edge network (EdgeDetectionTask); choose one of "
                "the run that trained it, or fit without --ckpt_path to begin anew"
            )
        names = checkpoint["edge_network"]["class_names"]
        self.network.class_names = None if names is None else tuple(names)
