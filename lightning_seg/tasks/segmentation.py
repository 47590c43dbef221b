"""The LightningModule that trains a network with a head and any number of losses."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.heads import Head
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.inference.label_map import label_map
from lightning_seg.losses import Loss, WeightedLoss
from lightning_seg.metrics import PerSampleMean
from lightning_seg.networks import Network, no_pretrained_weights, pretrained_weights_wanted
from lightning_seg.tasks.auxiliary import AuxiliarySupervision
from lightning_seg.tasks.class_balancing import (
    announce_class_weights,
    known_weights,
    resolve_class_weights,
    take_known_weights,
)
from lightning_seg.tasks.class_legend import LEGEND, take_class_legend
from lightning_seg.tasks.edge_networks import check_edge_networks
from lightning_seg.tasks.fine_tuning import load_matching_weights
from lightning_seg.tasks.objective import check_terms, named_terms
from lightning_seg.tasks.optimization import Optimization, planned_steps

Batch = dict[str, Any]


class SegmentationTask(LightningModule):
    """Network, head and losses of a boundary-aware segmentation method.

    Batches are dicts with ``image`` (B, C, H, W) float32 in [0, 1], ``mask`` (B, H, W) int64 (not
    for predict) and ``name``. Metrics and pictures are callbacks' business; the evaluation steps
    return what those need: ``logits`` (B, K, H, W), ``mask``, ``predictions`` and ``targets`` (maps
    by name) and ``name``.

    Args:
        num_classes: K; the command line takes it from the data.
        in_channels: Number of image channels; the command line takes it from the data.
        network: Called with ``in_channels``.
        head: Called with the network's ``out_channels`` and ``num_classes``.
        losses: Terms of the objective by a name of one's choice; None takes a term out. Losses on
            class scores (``head.scores``) are called ``(logits, mask)``, those on other maps
            ``(prediction, target, mask)``, those of several predictions with these and the mask.
            Where ``class_weights`` is the name of a balance, fit has the DataModule count its
            training labels, and checkpoints keep the weights.
        auxiliary: A second head with losses of its own, which belongs to the network.
        optimization: Optimiser and schedule.
        inference: How images are validated, tested and predicted: by `SlidingWindow`, by
            `TestTimeAugmentation`, or whole and at once by default.
        weights: A checkpoint to start from (fine-tuning), of other classes, bands or another head,
            too: what fits is loaded, what does not is named, see `load_matching_weights`. The
            network's own pretrained weights are not asked for then.

    Attributes:
        class_names, class_colors: Names and RGB colours (0 to 255) of the classes, where the
            DataModule has told them; checkpoints keep them.

    Raises:
        InputError: A loss of a prediction that there is not, one that is called in another way,
            class weights for another number of classes, a loss for classes that there are not, no
            loss at all, or ``weights`` of which nothing fits.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        network: Callable[[int], Network],
        head: Callable[[int, int], Head],
        losses: dict[str, WeightedLoss | None],
        auxiliary: AuxiliarySupervision | None = None,
        optimization: Optimization | None = None,
        inference: SlidingWindow | TestTimeAugmentation | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.num_classes = num_classes
        self.in_channels = in_channels
        # Channels last is how convolutions run fastest, on CPUs and on GPUs' tensor cores.
        with nullcontext() if weights is None else no_pretrained_weights():
            self.network = network(in_channels).to(memory_format=torch.channels_last)
        self.head = head(self.network.out_channels, num_classes)
        self.auxiliary_head = auxiliary.head(self.network, num_classes) if auxiliary else None
        self.terms = named_terms(losses)
        if auxiliary is not None:
            own = named_terms(auxiliary.losses, "auxiliary.losses")
            if twice := sorted(set(own) & set(self.terms)):
                raise InputError(f"losses and auxiliary.losses both have {twice}; rename one")
            self.terms |= own
        check_terms(self.terms, self.heads)
        self.losses = nn.ModuleDict({name: term.loss for name, term in self.terms.items()})
        self.optimization = optimization or Optimization()
        self.inference = inference
        self._planned_steps: int | None = None
        self._resumed = False
        self._lr_was_set = False
        self._began = False
        self.class_names: tuple[str, ...] | None = None
        self.class_colors: tuple[tuple[int, int, int], ...] | None = None
        self.validation_loss = PerSampleMean()
        self.test_loss = PerSampleMean()
        if weights is not None and pretrained_weights_wanted():
            load_matching_weights(self, weights)

    @property
    def lr(self) -> float | None:
        """The learning rate, None for the optimiser's own; Lightning's finder sets it."""
        return self.optimization.lr

    @lr.setter
    def lr(self, rate: float | None) -> None:
        self.optimization = replace(self.optimization, lr=rate)
        self._lr_was_set = rate is not None

    @property
    def heads(self) -> list[Head]:
        """The method's head and, where there is one, the network's own."""
        return [self.head] if self.auxiliary_head is None else [self.head, self.auxiliary_head]

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the predictions that are class scores."""
        return tuple(name for head in self.heads for name in head.scores)

    @property
    def _regressed(self) -> set[str]:
        """Names of the maps that a loss compares with their targets."""
        single = {t.prediction for t in self.terms.values() if isinstance(t.prediction, str)}
        return single - set(self.scores)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image (B, C, H, W) in [0, 1] to the head's predictions at the image's size."""
        features = self.network(image)
        predictions: dict[str, Tensor] = {}
        for head in self.heads:
            predictions |= head(features)
        return {name: _resize(maps, image.shape[-2:]) for name, maps in predictions.items()}

    def infer(self, image: Tensor) -> dict[str, Tensor]:
        """The predictions for whole images, by sliding windows where those are asked for."""
        if self.inference is None:
            return self(image)
        averaged = self.inference(self._probabilities, image)
        # Averaged probabilities leave as their logarithms: softmax gives them back.
        tiny = torch.finfo(averaged["logits"].dtype).tiny
        scores = {name: averaged[name].clamp(min=tiny).log() for name in self.scores}
        return averaged | scores

    def _probabilities(self, image: Tensor) -> dict[str, Tensor]:
        predictions = {name: maps.float() for name, maps in self(image).items()}
        return predictions | {n: predictions[n].softmax(dim=1) for n in self.scores}

    def infer_window(self, image: Tensor) -> dict[str, Tensor]:
        """The predictions for windows (B, C, *size), with probabilities in place of scores.

        Where `TestTimeAugmentation` is asked for, each window is resized, mirrored and turned.
        """
        if isinstance(self.inference, TestTimeAugmentation):
            return replace(self.inference, window=None)(self._probabilities, image)
        return self._probabilities(image)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """The targets of the supervised maps by prediction, and maps that the batch brings by term.

        Targets that the batch brings under ``targets`` by their key are taken from there, the
        others computed on the batch's device. A loss on class scores that compares them with a map
        says which by its attribute ``target``; it is given the map where the batch brings that,
        and otherwise computes it.
        """
        brought: dict[str, Tensor] = batch.get("targets", {})
        wanted = self._regressed
        given: dict[str, Tensor] = {}
        for head in self.heads:
            own = wanted & set(head.predictions)
            keys = {name: target.key for name, target in head.target_of.items()}
            found = {name: brought[keys[name]] for name in own if keys.get(name) in brought}
            given |= found | head.targets(batch["image"], batch["mask"], own - set(found))
        for name, term in self.terms.items():
            key = getattr(getattr(term.loss, "target", None), "key", None)
            if term.prediction in self.scores and key in brought:
                given[name] = brought[key]
        return given

    def objective(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of all losses, and each unweighted term by name."""
        total = predictions["logits"].new_zeros((), dtype=torch.float32)
        terms = {}
        for name, term in self.terms.items():
            terms[name] = self.losses[name](*self._inputs(name, predictions, targets, mask))
            total = total + term.weight * terms[name]
        return total, terms

    def _inputs(
        self,
        name: str,
        predictions: dict[str, Tensor],
        targets: dict[str, Tensor],
        mask: Tensor,
    ) -> tuple[Tensor, ...]:
        """What the loss of the term ``name`` is called with."""
        prediction = self.terms[name].prediction
        if isinstance(prediction, list):
            return *(predictions[one] for one in prediction), mask
        if prediction not in self.scores:
            return predictions[prediction], targets[prediction], mask
        brought = [targets[name]] if name in targets else []
        return predictions[prediction], mask, *brought

    @torch.no_grad()
    def _statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Figures of heads and losses about a batch, beside the objective."""
        found: dict[str, Tensor] = {}
        for head in self.heads:
            found |= head.statistics(predictions, targets, mask)
        for name, loss in self.losses.items():
            if isinstance(loss, Loss):
                inputs = self._inputs(name, predictions, targets, mask)
                found |= {f"{name}_{k}": value for k, value in loss.statistics(*inputs).items()}
        return found

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Forward and objective on one batch; logs ``train/loss`` and its terms."""
        predictions, targets = self(batch["image"]), self.targets(batch)
        loss, terms = self.objective(predictions, targets, batch["mask"])
        size = len(batch["image"])
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        watched = terms if len(terms) > 1 else {}
        watched = watched | self._statistics(predictions, targets, batch["mask"])
        self.log_dict({f"train/{name}": v for name, v in watched.items()}, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Predictions for whole images and their loss, averaged image by image."""
        outputs = self._evaluate(batch, self.validation_loss)
        self.log("val/loss", self.validation_loss, prog_bar=True, add_dataloader_idx=False)
        return outputs

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """As `validation_step`, logged as ``test/loss``."""
        outputs = self._evaluate(batch, self.test_loss)
        self.log("test/loss", self.test_loss, add_dataloader_idx=False)
        return outputs

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Labels and the maps other than scores, at the size of the original images.

        Where the batch says by ``size`` (B, 2) what height and width its images had before they
        were transformed, scores are resized to that, bilinearly, before they are decided. Where it
        says by ``content`` (B, 4) at which row and column and of what height and width the images
        lie within a padding, the padding is cut off before.

        Returns:
            A dict: ``labels`` (B, H, W) uint8 (int32 from 257 classes on); ``predictions`` maps
            (B, C, H, W) by name; ``name``. Where the sizes differ, lists of (H, W) and (C, H, W)
            take the place of tensors.
        """
        predictions = self.infer(batch["image"])
        whole = list(batch["image"].shape[-2:])
        sizes = batch["size"].tolist() if "size" in batch else [whole]
        contents = (
            batch["content"].tolist() if "content" in batch else [[0, 0, *whole]] * len(sizes)
        )
        if all(place == (sizes[0], contents[0]) for place in zip(sizes, contents, strict=True)):
            return self._decided(predictions, sizes[0], contents[0]) | {"name": batch["name"]}
        each = [
            self._decided({n: maps[i : i + 1] for n, maps in predictions.items()}, size, content)
            for i, (size, content) in enumerate(zip(sizes, contents, strict=True))
        ]
        maps = {n: [one["predictions"][n][0] for one in each] for n in each[0]["predictions"]}
        return {
            "labels": [one["labels"][0] for one in each],
            "predictions": maps,
            "name": batch["name"],
        }

    def _decided(
        self, predictions: dict[str, Tensor], size: Sequence[int], content: Sequence[int]
    ) -> dict[str, Any]:
        row, column, height, width = content
        predictions = {
            n: _resize(maps[..., row : row + height, column : column + width], torch.Size(size))
            for n, maps in predictions.items()
        }
        labels = label_map(predictions["logits"])
        return {"labels": labels, "predictions": self._without_scores(predictions)}

    def _without_scores(self, predictions: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: maps for name, maps in predictions.items() if name not in self.scores}

    def _evaluate(self, batch: Batch, mean_loss: PerSampleMean) -> Batch:
        predictions, targets, mask = self.infer(batch["image"]), self.targets(batch), batch["mask"]
        losses = []
        for i in range(len(mask)):
            one = slice(i, i + 1)
            image_predictions = {name: maps[one] for name, maps in predictions.items()}
            image_targets = {name: maps[one] for name, maps in targets.items()}
            losses.append(self.objective(image_predictions, image_targets, mask[one])[0])
        mean_loss.update(torch.stack(losses))
        return {
            "logits": predictions["logits"],
            "mask": mask,
            "predictions": self._without_scores(predictions),
            "targets": targets,
            "name": batch.get("name"),
        }

    def setup(self, stage: str) -> None:
        """Takes the classes' names and colours from the data; checks SEMEDA's edge networks."""
        take_class_legend(self)
        self._resumed = self._began = False
        if stage == "fit":
            check_edge_networks(self)

    def on_fit_start(self) -> None:
        """Resolves class weights given as the name of a balance.

        Not in `setup`, which does not know yet what the checkpoint of a resumed run brings: labels
        would be counted for nothing.
        """
        resolve_class_weights(self, self.num_classes, missing_alone=self._resumed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes the classes' names, colours and weights, and a step schedule's planned length."""
        checkpoint |= {name: getattr(self, name) for name in LEGEND}
        checkpoint["class_weights"] = known_weights(self)
        trainer: Any = self._trainer  # none where a checkpoint is saved by a strategy alone
        callbacks = [] if trainer is None else trainer.callbacks
        if not self._began and any(isinstance(c, LearningRateFinder) for c in callbacks):
            # The finder's own file, which it reads back at once as one of weights alone.
            checkpoint.pop(self.CHECKPOINT_HYPER_PARAMS_KEY, None)
        if self.optimization.step_schedule is not None:
            checkpoint["planned_steps"] = planned_steps(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers them."""
        self._resumed = True
        for name in LEGEND:
            setattr(self, name, checkpoint.get(name, getattr(self, name)))
        self._planned_steps = checkpoint.get("planned_steps")
        take_known_weights(self, checkpoint.get("class_weights", {}))

    def on_train_start(self) -> None:
        """Says what class weights came to; refuses to resume a schedule at another length.

        And begins at the rate that a learning-rate finder has found.
        """
        self._began = True
        announce_class_weights(self)
        if self._lr_was_set:
            self.optimization.begin_at_lr(self)
            self._lr_was_set = False
        self.optimization.check_resumed(self, self._planned_steps)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser and schedule, see `Optimization`."""
        return self.optimization.configure(self)

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> Self:
        """Lightning's own, for checkpoints that you trust, and offline.

        Pretrained weights, which the checkpoint replaces, are not asked for. A task made in Python
        keeps its classes in the checkpoint, so by default it is loaded with ``weights_only=False``;
        give the same to ``Trainer.fit(..., ckpt_path=..., weights_only=False)``.
        """
        kwargs.setdefault("weights_only", False)
        with no_pretrained_weights():
            return super().load_from_checkpoint(*args, **kwargs)


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
