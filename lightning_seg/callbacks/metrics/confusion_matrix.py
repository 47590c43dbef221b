"""Confusion matrix of label maps."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_seg.metrics.functional.labels import equals, lift
from lightning_seg.metrics.functional.windows import joint_histogram


class ConfusionMatrix(MulticlassConfusionMatrix):
    """torchmetrics' matrix, with maps (B, H, W) uint8 on the CPU counted by OpenCV.

    That takes a tenth of the time: no pixel is copied to leave out the ignored ones.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add labels of images."""
        if target.device.type != "cpu" or {preds.dtype, target.dtype} != {torch.uint8}:
            super().update(preds, target)
            return
        if self.ignore_index is not None:
            target = lift(target, equals(target, self.ignore_index), 255)  # outside of the bins
        bins = self.num_classes, self.num_classes
        for pair in zip(target.numpy(), preds.numpy(), strict=True):
            self.confmat += joint_histogram(pair, bins)
