"""Base class of callbacks that draw a few samples of every evaluation."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from lightning_seg.callbacks.batches import (
    find_image,
    find_names,
    lookup,
    to_labels_and_masks,
    to_multi_label,
)
from lightning_seg.callbacks.classes import (
    IgnoreIndex,
    find_channel_names,
    find_class_colors,
    find_class_names,
    find_ignore_index,
    find_multi_label,
    find_num_classes,
)
from lightning_seg.callbacks.evaluation_stage import dataloaders, stage_of
from lightning_seg.callbacks.extractors import AutoExtractor, Extractor, ExtractorLike
from lightning_seg.callbacks.loggers import log_picture
from lightning_seg.callbacks.pictures.pictures import png, render
from lightning_seg.callbacks.run_record import is_trial, run_folder
from lightning_seg.files import file_stem, write_atomically

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure


_VOID = -1


@dataclass
class ChosenSample:
    """One sample of an evaluation.

    Args:
        title: Name of the sample, with stage and epoch.
        image: Image (C, H, W), in any range.
        channel_names: Names of the C channels.
        prediction: Scores (1, K, H, W) or labels (1, H, W), as returned by the extractor.
        labels: Predicted labels (H, W) int64; 0 and 1 (K, H, W) if pixels have several labels.
        truth: Ground-truth labels of the same shape, int64; -1 for ignored pixels.
        outputs: Outputs of the step for the whole batch.
        index: Index of the sample in the batch.
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
        """Scores (1, K, H, W), or None if the prediction holds labels."""
        pred = self.prediction
        return pred if pred.ndim == 4 and pred.is_floating_point() else None

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
        """Return the sample's map (C, H, W) under ``key`` of the outputs, or None.

        None, too, if the map has another number of channels.
        """
        maps = lookup(self.outputs, key)
        if not isinstance(maps, Tensor) or maps.ndim != 4 or maps.shape[1] != channels:
            return None
        return maps[self.index].detach().float().cpu().numpy()


class ChosenSamples(Callback):
    """Base callback that draws a few samples of every validation and test, the same every epoch.

    The samples are spread evenly over the first dataloader. Pictures are saved in ``pictures`` in
    the run's folder, as ``val/NAME_epoch_EEE.png`` and ``test/NAME.png``, and go to the loggers.
    Nothing is drawn if batches hold no images (under ``image``, or first in a tuple), or if pixels
    have several labels, which only `PredictionPanels` draws.

    Args:
        num_images: Number of pictures per epoch.
        every_n_epochs: Draw every n-th epoch during training; the last epoch is always drawn.
        num_classes: Number of classes K; by default the datamodule's or the module's.
        extractor: How to find predictions and ground truth, see `BoundaryMetrics`.
        class_names: Names of the classes; by default the datamodule's or the module's.
        ignore_index: Label of ignored pixels, see `BoundaryMetrics`.
        multi_label: Pixels have several labels, see `BoundaryMetrics`.

    Attributes:
        kind: Suffix of the folder names ``val`` and ``test``.
        draws_labels: Whether pictures of several labels per pixel are drawn.
    """

    kind: ClassVar[str] = ""
    draws_labels: ClassVar[bool] = False

    def __init__(
        self,
        num_images: int = 4,
        every_n_epochs: int = 1,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: IgnoreIndex = "auto",
        multi_label: bool | None = None,
    ) -> None:
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self.num_classes = num_classes
        self.extractor: ExtractorLike = extractor or AutoExtractor()
        self.class_names = class_names
        self.ignore_index = ignore_index
        self.multi_label = multi_label
        self._wanted: set[int] = set()
        self._seen = 0

    @abstractmethod
    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """Draw the picture of one sample."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look up the run's folder and the classes."""
        if stage == "predict":
            return
        self._folder = run_folder(trainer) / "pictures"
        self._multi_label = find_multi_label(trainer, pl_module, self.multi_label)
        self._undrawn = self._multi_label and not self.draws_labels
        if self._undrawn:
            rank_zero_info(f"{type(self).__name__}: no pictures, as pixels have several labels.")
        self._num_classes = find_num_classes(
            trainer, pl_module, self.num_classes, self._multi_label
        )
        self._ignore_index = find_ignore_index(trainer, pl_module, self.ignore_index)
        self._names = find_class_names(trainer, pl_module, self._num_classes, self.class_names)
        self._colors = find_class_colors(trainer, pl_module, self._num_classes, self._multi_label)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the samples."""
        self._seen, self._wanted = 0, set()
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        training = trainer.state.fn == TrainerFn.FITTING
        skipped = training and epoch % self.every_n_epochs != 0 and epoch != last
        loaders = dataloaders(trainer)
        drawn = not (skipped or trainer.sanity_checking or is_trial(trainer) or self._undrawn)
        if not drawn or not loaders:
            return
        if trainer.is_global_zero:
            batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
            self._wanted = _spread(self.num_images, _num_samples(loaders[0], batches[0]))

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Prepare the extractor if the batch holds a chosen sample."""
        self._image: Tensor | None = None
        image = find_image(batch) if self._wanted and dataloader_idx == 0 else None
        if image is None:
            return
        chosen = [i for i in range(len(image)) if self._seen + i in self._wanted]
        self._seen += len(image)
        if chosen:
            self._image, self._chosen = image, chosen
            if isinstance(self.extractor, Extractor):
                self.extractor.start_step(pl_module, batch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Draw the chosen samples of the batch."""
        if self._image is None:
            return
        pred, target = self.extractor(trainer, pl_module, outputs, batch)
        if isinstance(self.extractor, Extractor):
            self.extractor.end_step()
        pred = pred.detach()
        read = to_multi_label if self._multi_label else to_labels_and_masks
        labels, masks = read(pred, target, self._num_classes, self._ignore_index, resize=True)
        if self._ignore_index is not None:
            masks = masks.masked_fill(masks == self._ignore_index, _VOID)
        names = find_names(len(labels), outputs, batch)
        channel_names = find_channel_names(trainer, pl_module, self._image.shape[1])
        first = self._seen - len(labels)
        for i in self._chosen:
            name = names[i] if names else f"sample {first + i}"
            sample = ChosenSample(
                title=_title(trainer, name),
                image=self._image[i],
                channel_names=channel_names,
                prediction=pred[i : i + 1],
                labels=labels[i].cpu().numpy(),
                truth=masks[i].cpu().numpy(),
                outputs=outputs,
                index=i,
            )
            self._publish(trainer, self.draw(pl_module, sample), name)

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_start = on_validation_batch_start
    on_test_batch_end = on_validation_batch_end

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Remove the extractor's hooks."""
        if isinstance(self.extractor, Extractor):
            self.extractor.end_step()

    def _publish(self, trainer: Trainer, figure: "Figure", name: str) -> None:
        pixels, folder, stem = render(figure), stage_of(trainer) + self.kind, file_stem(name)
        if trainer.state.fn == TrainerFn.FITTING:
            stem = f"{stem}_epoch_{trainer.current_epoch:03d}"
        write_atomically(self._folder / folder / f"{stem}.png", png(pixels))
        log_picture(trainer, f"{folder}/{name}", pixels)


def _title(trainer: Trainer, name: str) -> str:
    if trainer.state.fn == TrainerFn.FITTING:
        return f"{name} ({stage_of(trainer)}, epoch {trainer.current_epoch})"
    return f"{name} ({stage_of(trainer)})"


def _spread(count: int, samples: int) -> set[int]:
    """Return ``count`` evenly spaced indices below ``samples``."""
    count = min(count, samples)
    return {int((i + 0.5) * samples / count) for i in range(count)}


def _num_samples(dataloader: Any, batches: int | float) -> int:
    lists = getattr(getattr(dataloader, "sampler", None), "batches", None)
    if lists is not None:  # a sampler of whole batches, as our own data's
        return sum(len(indices) for indices in lists[: int(batches)])
    size = getattr(dataloader, "batch_size", None) or 1
    try:
        samples = len(dataloader.sampler)
    except (AttributeError, TypeError):  # an iterable dataset without length
        return size
    return int(min(batches * size, samples))


def to_rgb(image: Tensor) -> np.ndarray:
    """Convert an image (C, H, W) to (H, W, 3) uint8.

    It shows the first three channels, or the first as grey. Values outside [0, 1] are rescaled.
    """
    channels = image.detach().float().cpu()
    channels = channels[:3] if len(channels) >= 3 else channels[:1].expand(3, -1, -1)
    low, high = channels.min(), channels.max()
    if image.dtype == torch.uint8:
        channels = channels / 255
    elif low < 0 or high > 1:  # normalised, or in other units
        channels = (channels - low) / (high - low).clamp(min=1e-12)
    return (channels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
