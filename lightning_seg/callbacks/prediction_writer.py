"""Predicted label maps as PNGs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from lightning_seg.callbacks.batches import (
    PREDICTION_KEYS,
    describe,
    find_map,
    find_names,
    lookup,
    to_labels,
)
from lightning_seg.callbacks.classes import find_class_colors, find_num_classes
from lightning_seg.callbacks.files import file_stem
from lightning_seg.callbacks.label_png import label_png
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.errors import InputError
from lightning_seg.files import write_atomically


class PredictionWriter(BasePredictionWriter):
    """Writes each label map of a batch as ``NAME.png``, with the classes' colours.

    ``predict_step`` returns labels (B, H, W) or scores (B, K, H, W), alone or in a dict
    (``labels``, ``logits``, ...), or under ``labels`` a list of labels (H, W). Names come from the
    returned dict or the batch, else from the sample's number. From 257 classes on, PNGs are 16-bit
    grey. A sample is written by the process that predicts it.

    Whole rasters are predicted and written by `lightning_seg.prediction`.

    Args:
        output_dir: Folder to write to; by default ``predictions`` in the run's folder.
        label_values: The number from 0 to 255 that stands for each class, in grey files without a
            palette; by default classes are numbered from 0 on.

    Raises:
        InputError: (in setup) The number of classes is not known, or ``label_values`` are not as
            many. (in a step) ``predict_step`` returned nothing like a label map.
    """

    def __init__(
        self, output_dir: str | None = None, label_values: Sequence[int] | None = None
    ) -> None:
        super().__init__(write_interval="batch")
        self.output_dir = output_dir
        self.label_values = label_values

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder, the number of classes and their colours."""
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        self._folder = run_folder(trainer) / "predictions"
        if self.output_dir is not None:
            self._folder = Path(self.output_dir)
        self._num_classes = find_num_classes(trainer, pl_module)
        if self.label_values is not None and len(self.label_values) != self._num_classes:
            raise InputError(
                f"label_values is {list(self.label_values)}, but there are {self._num_classes} "
                "classes: give a number for each"
            )
        self._colors = find_class_colors(trainer, pl_module, self._num_classes)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes one batch's label maps."""
        labels = _label_maps(prediction, self._num_classes)
        if labels is None:
            raise InputError(
                f"predict_step of {type(pl_module).__name__} returned {describe(prediction)}; "
                "PredictionWriter needs labels (B, H, W) or scores (B, K, H, W), alone or in a "
                "dict under 'labels' or 'logits'."
            )
        names = find_names(len(labels), prediction, batch) or _numbered(
            len(labels), batch_indices, batch_idx
        )
        several = len(trainer.num_predict_batches) > 1
        folder = self._folder / (f"dataloader_idx_{dataloader_idx}" if several else "")
        for name, image in zip(names, labels, strict=True):
            png = label_png(image, self._colors, self.label_values)
            write_atomically(folder / f"{file_stem(name)}.png", png)


def _label_maps(prediction: Any, num_classes: int) -> Sequence[Tensor] | None:
    """One label map (H, W) a sample; those in a list may differ in size."""
    labels = lookup(prediction, "labels")
    if isinstance(labels, list) and all(isinstance(one, Tensor) for one in labels):
        return [to_labels(one[None], num_classes)[0] for one in labels]
    maps = find_map(prediction, ("labels", *PREDICTION_KEYS))
    return None if maps is None else list(to_labels(maps, num_classes))


def _numbered(count: int, batch_indices: Sequence[int] | None, batch_idx: int) -> list[str]:
    if batch_indices and len(batch_indices) == count:
        return [f"{index:06d}" for index in batch_indices]
    return [f"batch_{batch_idx:06d}_{i}" for i in range(count)]
