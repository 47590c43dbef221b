"""The base of callbacks that draw a few samples of every evaluation."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_seg.callbacks.batches import find_image, find_names, lookup, to_labels, to_masks
from lightning_seg.callbacks.classes import (
    find_channel_names,
    find_class_colors,
    find_class_names,
    find_num_classes,
)
from lightning_seg.callbacks.extractors import AutoExtractor, Extractor, ExtractorLike
from lightning_seg.callbacks.files import file_stem
from lightning_seg.callbacks.metrics.distributed_padding import dataloaders
from lightning_seg.callbacks.pictures.pictures import png, render
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.files import write_atomically

if TYPE_CHECKING:  # matplotlib takes its time to import
    from matplotlib.figure import Figure


_VOID = -1


@dataclass
class ChosenSample:
    """One sample of an evaluation.

    Args:
        title: Its name, and when it was predicted.
        image: (C, H, W) in whatever range it came.
        channel_names: C names.
        prediction: Scores (1, K, H, W) or labels (1, H, W), as the extractor found them.
        labels: (H, W) int64 of the prediction.
        truth: (H, W) int64, -1 at void.
        outputs: What the step returned for the batch.
        index: The sample's number in the batch.
    """

    title: str
    image: Tensor
    channel_names: list[str]
    prediction: Tensor
    labels: np.ndarray
    truth: np.ndarray
    outputs: Any
    index: int

    @property
    def scores(self) -> Tensor | None:
        """Scores (1, K, H, W) where the prediction is such."""
        found = self.prediction
        return found if found.ndim == 4 and found.is_floating_point() else None

    @property
    def rgb(self) -> np.ndarray:
        """The image as (H, W, 3) uint8: the first three channels, or the first as grey."""
        return to_rgb(self.image)

    @property
    def bands(self) -> dict[str, np.ndarray]:
        """The channels after the first three (H, W), by name."""
        return {
            name: self.image[number].detach().float().cpu().numpy()
            for number, name in enumerate(self.channel_names)
            if number >= 3
        }

    def map(self, key: str, channels: int) -> np.ndarray | None:
        """A map (C, H, W) that the step returned under ``key`` with as many channels, or None."""
        maps = lookup(self.outputs, key)
        if not isinstance(maps, Tensor) or maps.ndim != 4 or maps.shape[1] != channels:
            return None
        return maps[self.index].detach().float().cpu().numpy()


class ChosenSamples(Callback):
    """Draws a few samples of every validation and test, the same in every epoch.

    They are spread evenly over the first dataloader. Pictures go to ``pictures`` in the run's
    folder, as ``val/NAME_epoch_EEE.png`` and ``test/NAME.png``, and to TensorBoard where that is a
    logger. Modules without images in their batches (under ``image``, or first of a tuple) get none.

    Args:
        num_images: Pictures an epoch.
        every_n_epochs: Epochs from one set of pictures to the next while training; the last epoch
            is always drawn.
        num_classes: K; by default that of the datamodule or of the module.
        extractor: How to get at predictions and truth, as in `BoundaryMetrics`.
        class_names: Names of the classes; by default the datamodule's or the module's.
        ignore_index: Label of pixels that do not count.

    Attributes:
        kind: What is appended to the names of the folders, for pictures of another kind.
    """

    kind: ClassVar[str] = ""

    def __init__(
        self,
        num_images: int = 4,
        every_n_epochs: int = 1,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self.num_classes = num_classes
        self.extractor: ExtractorLike = extractor or AutoExtractor()
        self.class_names = class_names
        self.ignore_index = ignore_index
        self._wanted: set[int] = set()
        self._seen = 0

    @abstractmethod
    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """The picture of one sample."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the run's folder, and number, names and colours of the classes."""
        if stage == "predict":
            return
        self._folder = run_folder(trainer) / "pictures"
        self._num_classes = find_num_classes(trainer, pl_module, self.num_classes)
        self._names = find_class_names(trainer, pl_module, self._num_classes, self.class_names)
        self._colors = find_class_colors(trainer, pl_module, self._num_classes)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the samples."""
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        training = trainer.state.fn == TrainerFn.FITTING
        skipped = training and epoch % self.every_n_epochs != 0 and epoch != last
        self._choose(trainer, "val", trainer.sanity_checking or skipped)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the samples."""
        self._choose(trainer, "test", skipped=False)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Lets the extractor prepare where the batch holds a chosen sample."""
        self._prepare(pl_module, batch, dataloader_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Lets the extractor prepare where the batch holds a chosen sample."""
        self._prepare(pl_module, batch, dataloader_idx)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Draws the chosen samples of the batch."""
        self._draw_batch(trainer, pl_module, outputs, batch, "val")

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Draws the chosen samples of the batch."""
        self._draw_batch(trainer, pl_module, outputs, batch, "test")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leaves no hook on the module."""
        if isinstance(self.extractor, Extractor):
            self.extractor.end_step()

    def _choose(self, trainer: Trainer, stage: str, skipped: bool) -> None:
        self._seen = 0
        self._wanted = set()
        loaders = dataloaders(trainer, stage)
        quick = trainer.fast_dev_run  # type: ignore[attr-defined]
        if skipped or quick or not trainer.is_global_zero or not loaders:
            return
        batches = trainer.num_val_batches if stage == "val" else trainer.num_test_batches
        self._wanted = _spread(self.num_images, _num_samples(loaders[0], batches[0]))

    def _prepare(self, pl_module: LightningModule, batch: Any, dataloader_idx: int) -> None:
        self._image: Tensor | None = None
        if dataloader_idx > 0 or not self._wanted:
            return
        image = find_image(batch)
        if image is None:
            return
        chosen = [i for i in range(len(image)) if self._seen + i in self._wanted]
        self._seen += len(image)
        if chosen:
            self._image, self._chosen = image, chosen
            if isinstance(self.extractor, Extractor):
                self.extractor.start_step(pl_module, batch)

    def _draw_batch(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, stage: str
    ) -> None:
        if self._image is None:
            return
        pred, target = self.extractor(trainer, pl_module, outputs, batch)
        if isinstance(self.extractor, Extractor):
            self.extractor.end_step()
        pred = pred.detach()
        labels = to_labels(pred, self._num_classes)
        masks = to_masks(target.to(labels.device), labels, self._num_classes, self.ignore_index)
        if self.ignore_index is not None:
            masks = masks.masked_fill(masks == self.ignore_index, _VOID)
        names = find_names(len(labels), outputs, batch)
        channel_names = find_channel_names(trainer, pl_module, self._image.shape[1])
        first = self._seen - len(labels)
        for i in self._chosen:
            name = names[i] if names else f"sample {first + i}"
            sample = ChosenSample(
                title=_title(trainer, name, stage),
                image=self._image[i],
                channel_names=channel_names,
                prediction=pred[i : i + 1],
                labels=labels[i].cpu().numpy(),
                truth=masks[i].cpu().numpy(),
                outputs=outputs,
                index=i,
            )
            self._publish(trainer, self.draw(pl_module, sample), name, stage)

    def _publish(self, trainer: Trainer, figure: "Figure", name: str, stage: str) -> None:
        pixels, folder, stem = render(figure), stage + self.kind, file_stem(name)
        if trainer.state.fn == TrainerFn.FITTING:
            stem = f"{stem}_epoch_{trainer.current_epoch:03d}"
        write_atomically(self._folder / folder / f"{stem}.png", png(pixels))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    f"{folder}/{name}", pixels, trainer.global_step, dataformats="HWC"
                )


def _title(trainer: Trainer, name: str, stage: str) -> str:
    if trainer.state.fn == TrainerFn.FITTING:
        return f"{name} ({stage}, epoch {trainer.current_epoch})"
    return f"{name} ({stage})"


def _spread(count: int, samples: int) -> set[int]:
    """``count`` numbers below ``samples``, each in the middle of its equal share."""
    count = min(count, samples)
    return {int((i + 0.5) * samples / count) for i in range(count)}


def _num_samples(dataloader: Any, batches: int | float) -> int:
    size = getattr(dataloader, "batch_size", None) or 1
    try:
        samples = len(dataloader.sampler)
    except (AttributeError, TypeError):  # an iterable that does not know its length
        return size
    return int(min(batches * size, samples))


def to_rgb(image: Tensor) -> np.ndarray:
    """An image (C, H, W) as (H, W, 3) uint8: the first three channels, or the first as grey."""
    channels = image.detach().float().cpu()
    channels = channels[:3] if len(channels) >= 3 else channels[:1].expand(3, -1, -1)
    low, high = channels.min(), channels.max()
    if image.dtype == torch.uint8:
        channels = channels / 255
    elif low < 0 or high > 1:  # normalised or in units of its own: stretched to be seen
        channels = (channels - low) / (high - low).clamp(min=1e-12)
    return (channels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
