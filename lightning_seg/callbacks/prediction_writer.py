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
from lightning_seg.callbacks.classes import find_class_colors, find_multi_label, find_num_classes
from lightning_seg.callbacks.label_png import label_png
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.errors import InputError
from lightning_seg.files import file_stem
from lightning_seg.own_files import write_own


class PredictionWriter(BasePredictionWriter):
    """Write each predicted label map as ``NAME.png``, with the class colours.

    ``predict_step`` returns labels (B, H, W) or scores (B, K, H, W), alone or in a dict
    (``labels``, ``logits``, ...), or a list of labels (H, W) under ``labels``. Names come from the
    returned dict or the batch, otherwise from the sample's index. With more than 256 classes, PNGs
    are 16-bit greyscale. Every process writes the samples that it predicts.

    See `lightning_seg.prediction` for rasters of any size.

    Args:
        output_dir: Output folder; by default ``predictions`` in the run's folder.
        label_values: Pixel value of each class, 0 to 255; the files are then greyscale, without a
            palette. By default a class's value is its index.
        run: The run's folder, if files of another run are not to be replaced.

    Raises:
        InputError: (in setup) The number of classes is unknown, or is not the number of
            ``label_values``; or pixels have several labels. (in a step) ``predict_step`` returned
            no label map, or a file would be replaced that this callback did not write.
    """

    def __init__(
        self,
        output_dir: str | None = None,
        label_values: Sequence[int] | None = None,
        run: Path | None = None,
    ) -> None:
        super().__init__(write_interval="batch")
        self.output_dir = output_dir
        self.label_values = label_values
        self.run = run

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look up the output folder, the number of classes and their colours."""
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        if find_multi_label(trainer, pl_module, None):
            raise InputError(
                "PredictionWriter writes one label per pixel, but here pixels have several. Use "
                "lightning-seg predict, or lightning_seg.prediction.predict_rasters."
            )
        self._folder = run_folder(trainer) / "predictions"
        if self.output_dir is not None:
            self._folder = Path(self.output_dir)
        self._num_classes = find_num_classes(trainer, pl_module)
        if self.label_values is not None and len(self.label_values) != self._num_classes:
            raise InputError(
                f"label_values is {list(self.label_values)}, but there are {self._num_classes} "
                "classes. Give one value per class."
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
        """Write the label maps of a batch."""
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
            write_own(folder / f"{file_stem(name)}.png", png, self.run)


def _label_maps(prediction: Any, num_classes: int) -> Sequence[Tensor] | None:
    """Return one label map (H, W) per sample; maps from a list may differ in size."""
    labels = lookup(prediction, "labels")
    if isinstance(labels, list) and all(isinstance(label_map, Tensor) for label_map in labels):
        return [to_labels(label_map[None], num_classes)[0] for label_map in labels]
    maps = find_map(prediction, ("labels", *PREDICTION_KEYS))
    return None if maps is None else list(to_labels(maps, num_classes))


def _numbered(count: int, batch_indices: Sequence[int] | None, batch_idx: int) -> list[str]:
    if batch_indices and len(batch_indices) == count:
        return [f"{index:06d}" for index in batch_indices]
    return [f"batch_{batch_idx:06d}_{i}" for i in range(count)]
