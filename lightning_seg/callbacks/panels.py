"""Pictures of predictions during validation and test."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_seg.callbacks.batches import find_image, find_names, lookup, to_labels, to_masks
from lightning_seg.callbacks.classes import find_class_colors, find_class_names, find_num_classes
from lightning_seg.callbacks.extractors import AutoExtractor, Extractor, ExtractorLike
from lightning_seg.callbacks.files import file_stem
from lightning_seg.callbacks.picture_maps import entropy
from lightning_seg.callbacks.pictures import Picture, draw, png, render, step_to_fit
from lightning_seg.callbacks.real_samples import dataloaders
from lightning_seg.callbacks.run_record import run_folder
from lightning_seg.files import write_atomically


class PredictionPanels(Callback):
    """Draws a few samples: image, truth, prediction, errors, entropy, regressed maps.

    The samples are spread evenly over the first dataloader and the same in every epoch. Pictures go
    to ``pictures`` in the run's folder, as ``val/NAME_epoch_EEE.png`` and ``test/NAME.png``, and to
    TensorBoard where that is a logger. Errors are shown in the whole image (right green, wrong red)
    and along the true boundaries, the entropy where predictions are scores. Maps are drawn where
    the step returns a dict with ``predictions`` and ``targets`` that hold ``distance``
    (B, K, H, W) in [-1, 1] or [0, 1], ``boundary`` (B, K, H, W) in [0, 1] or, as hue, saturation
    and value in [0, 1], ``color`` (B, 3, H, W). Modules without images in their batches (under
    ``image``, or first of a tuple) get none.

    Args:
        num_images: Pictures an epoch.
        every_n_epochs: Epochs from one set of pictures to the next while training; the last epoch
            is always drawn.
        band_width: Width in pixels of the band along true boundaries where errors are shown; by
            default 1 % of the diagonal.
        num_classes: K; by default that of the datamodule or of the module.
        extractor: How to get at predictions and truth, as in `BoundaryMetrics`.
        class_names: Names of the classes; by default the datamodule's or the module's.
        ignore_index: Label of pixels that do not count.

    Raises:
        InputError: As `BoundaryMetrics`.
    """

    def __init__(
        self,
        num_images: int = 4,
        every_n_epochs: int = 1,
        band_width: int | None = None,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self.band_width = band_width
        self.num_classes = num_classes
        self.extractor: ExtractorLike = extractor or AutoExtractor()
        self.class_names = class_names
        self.ignore_index = ignore_index
        self._wanted: set[int] = set()
        self._seen = 0

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
        labels = to_labels(pred.detach(), self._num_classes)
        target = target.to(labels.device)
        masks = to_masks(target, labels, self._num_classes, self.ignore_index)
        names = find_names(len(labels), outputs, batch)
        first = self._seen - len(labels)
        for i in self._chosen:
            name = names[i] if names else f"sample {first + i}"
            picture = Picture(
                title=name,
                image=_to_rgb(self._image[i]),
                truth=masks[i].cpu().numpy(),
                prediction=labels[i].cpu().numpy(),
                class_names=self._names,
                class_colors=self._colors,
                entropy=_entropy(pred[i : i + 1]),
                distance=_map(outputs, "predictions.distance", i, self._num_classes),
                true_distance=_map(outputs, "targets.distance", i, self._num_classes),
                boundary=_map(outputs, "predictions.boundary", i, self._num_classes),
                true_boundary=_map(outputs, "targets.boundary", i, self._num_classes),
                color=_map(outputs, "predictions.color", i, 3),
                true_color=_map(outputs, "targets.color", i, 3),
                band_width=self.band_width,
            )
            self._publish(trainer, picture, stage)

    def _publish(self, trainer: Trainer, picture: Picture, stage: str) -> None:
        name, stem = picture.title, file_stem(picture.title)
        if trainer.state.fn == TrainerFn.FITTING:
            stem = f"{stem}_epoch_{trainer.current_epoch:03d}"
            picture.title = f"{name} ({stage}, epoch {trainer.current_epoch})"
        else:
            picture.title = f"{name} ({stage})"
        pixels = render(draw(picture))
        write_atomically(self._folder / stage / f"{stem}.png", png(pixels))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    f"{stage}/{name}", pixels, trainer.global_step, dataformats="HWC"
                )


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


def _map(outputs: Any, key: str, index: int, channels: int) -> np.ndarray | None:
    maps = lookup(outputs, key)
    if not isinstance(maps, Tensor) or maps.ndim != 4 or maps.shape[1] != channels:
        return None
    return maps[index].detach().float().cpu().numpy()


def _entropy(pred: Tensor) -> np.ndarray | None:
    """The entropy (h, w) of one prediction if it is scores, at the size it will be drawn at."""
    if pred.ndim != 4 or not pred.is_floating_point():
        return None
    step = step_to_fit(*pred.shape[-2:])
    return entropy(pred[..., ::step, ::step])[0].cpu().numpy()


def _to_rgb(image: Tensor) -> np.ndarray:
    """An image (C, H, W) as (H, W, 3) uint8: the first three channels, or the first as grey."""
    channels = image.detach().float().cpu()
    channels = channels[:3] if len(channels) >= 3 else channels[:1].expand(3, -1, -1)
    low, high = channels.min(), channels.max()
    if image.dtype == torch.uint8:
        channels = channels / 255
    elif low < 0 or high > 1:  # normalised or in units of its own: stretched to be seen
        channels = (channels - low) / (high - low).clamp(min=1e-12)
    return (channels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
