"""LightningModule that trains a network with a head and any number of losses."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.cli import instantiate_module
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lightning_seg.checkpoints import mismatch, read_checkpoint
from lightning_seg.errors import InputError
from lightning_seg.heads import Head
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.inference.test_time_augmentation import resize
from lightning_seg.inference.uncertainty import probabilities_of, scores_of
from lightning_seg.losses import Loss, MultiLabelLoss, WeightedLoss
from lightning_seg.metrics import PerSampleMean
from lightning_seg.networks import (
    Network,
    depthwise_in_float32,
    no_pretrained_weights,
    pretrained_weights_wanted,
)
from lightning_seg.tasks.auxiliary import AuxiliarySupervision
from lightning_seg.tasks.class_balancing import (
    announce_class_weights,
    known_weights,
    resolve_class_weights,
    take_known_weights,
)
from lightning_seg.tasks.class_legend import (
    LEGEND,
    check_edge_networks,
    check_labels_per_pixel,
    take_class_legend,
)
from lightning_seg.tasks.fine_tuning import load_matching_weights
from lightning_seg.tasks.label_maps import original_label_maps, scored
from lightning_seg.tasks.label_range import check_label_range
from lightning_seg.tasks.objective import check_heads_of_labels, check_terms, named_terms, per_label
from lightning_seg.tasks.optimization import Optimization, optimizer_settings, planned_steps
from lightning_seg.tasks.pretrained import read_pretrained, save_pretrained
from lightning_seg.tasks.safe_classes import allow_own_classes, check_class_paths

Batch = dict[str, Any]

allow_own_classes()


class SegmentationTask(LightningModule):
    """Network, head and losses of a boundary-aware segmentation method.

    Batches are dicts with ``image`` (B, C, H, W) float32 in [0, 1], ``mask`` (B, H, W) int64 (not
    for predict) and ``name``. Callbacks compute metrics and draw pictures from the output of the
    evaluation steps: ``logits`` (B, K, H, W), ``mask``, ``predictions`` and ``targets`` (maps by
    name) and ``name``.

    Args:
        num_classes: K; the command line takes it from the data.
        in_channels: Number of image channels; the command line takes it from the data.
        network: Called with ``in_channels``.
        head: Called with the network's ``out_channels`` and ``num_classes``.
        losses: Loss terms by a freely chosen name; None removes a term. Losses on class scores
            (``head.scores``) are called with ``(logits, mask)``, losses on other maps with
            ``(prediction, target, mask)``, losses on several predictions with these and the mask.
            If ``class_weights`` names a balancing scheme, fit computes the weights from the
            DataModule's training labels, and checkpoints store them.
        auxiliary: A second head with its own losses that belongs to the network.
        optimization: Optimiser and schedule.
        inference: `SlidingWindow` or `TestTimeAugmentation` for validation, test and prediction;
            by default images are processed whole.
        weights: Checkpoint for fine-tuning. Classes, bands or head may differ: matching weights
            are loaded and the rest is logged, see `load_matching_weights`. The network's own
            pretrained weights are then not downloaded.
        trust_weights: Also load Python objects in ``weights``, which can run any code.
        multi_label: Pixels may have several of the K classes, or none; the command line takes it
            from the data. Each channel of the logits then has its own sigmoid, masks are
            (B, K, H, W) of 0, 1 and 255, each loss on logits is applied to each class by
            `MultiLabelLoss`, and evaluation steps return ``probabilities`` in place of logits.

    Attributes:
        class_names, class_colors: Names and RGB colours (0 to 255) of the classes, if the
            DataModule has them; checkpoints store them.

    Raises:
        InputError: If a loss uses a prediction that does not exist, has another signature, or
            expects other classes; if there are no losses; if no weight in ``weights`` matches; or
            if a head is not for ``multi_label``.
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
        trust_weights: bool = False,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.multi_label = multi_label
        # Convolutions are fastest in channels-last format, on CPUs and tensor cores.
        with nullcontext() if weights is None else no_pretrained_weights():
            self.network = network(in_channels).to(memory_format=torch.channels_last)
        depthwise_in_float32(self.network)
        self.head = head(self.network.out_channels, num_classes)
        self.auxiliary_head = auxiliary.head(self.network, num_classes) if auxiliary else None
        self.terms = named_terms(losses)
        if auxiliary is not None:
            own = named_terms(auxiliary.losses, "auxiliary.losses")
            if shared := sorted(set(own) & set(self.terms)):
                raise InputError(f"losses and auxiliary.losses both have {shared}; rename one")
            self.terms |= own
        if multi_label:
            check_heads_of_labels(self.heads)
            self.terms = per_label(self.terms)
        check_terms(self.terms, self.heads, multi_label)
        self.losses = nn.ModuleDict({name: term.loss for name, term in self.terms.items()})
        self.optimization = optimization or Optimization()
        self.inference = inference
        self._planned_steps: int | None = None
        self._optimizer_settings: dict[str, Any] | None = None
        self._stored_settings: dict[str, Any] | None = None
        self._resumed = False
        self._lr_was_set = False
        self._began = False
        self._checked_epoch = 0
        self.class_names: tuple[str, ...] | None = None
        self.class_colors: tuple[tuple[int, int, int], ...] | None = None
        self.validation_loss = PerSampleMean()
        self.test_loss = PerSampleMean()
        if weights is not None and pretrained_weights_wanted():
            load_matching_weights(self, weights, weights_only=not trust_weights)

    @property
    def lr(self) -> float | None:
        """Learning rate, None for the optimiser's; set by Lightning's learning-rate finder."""
        return self.optimization.lr

    @lr.setter
    def lr(self, rate: float | None) -> None:
        self.optimization = replace(self.optimization, lr=rate)
        self._lr_was_set = rate is not None

    @property
    def heads(self) -> list[Head]:
        """The method's head and, if there is one, the auxiliary head."""
        return [self.head] if self.auxiliary_head is None else [self.head, self.auxiliary_head]

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the predictions that are class scores."""
        return tuple(name for head in self.heads for name in head.scores)

    @property
    def _regressed(self) -> set[str]:
        """Names of the maps with a target in some loss."""
        single = {t.prediction for t in self.terms.values() if isinstance(t.prediction, str)}
        return single - set(self.scores)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map images (B, C, H, W) in [0, 1] to the heads' predictions at image size."""
        features = self.network(image)
        predictions: dict[str, Tensor] = {}
        for head in self.heads:
            predictions |= head(features)
        return {name: resize(maps, image.shape[-2:]) for name, maps in predictions.items()}

    def infer(self, image: Tensor) -> dict[str, Tensor]:
        """Return predictions for whole images, using ``inference`` if it is set."""
        if self.inference is None:
            return self(image)
        averaged = self.inference(self.probabilities, image)
        scores = {name: scores_of(averaged[name], self.multi_label) for name in self.scores}
        return averaged | scores

    def probabilities(self, image: Tensor) -> dict[str, Tensor]:
        """Return predictions with probabilities instead of scores, without ``inference``."""
        predictions = {name: maps.float() for name, maps in self(image).items()}
        scores = {n: probabilities_of(predictions[n], self.multi_label) for n in self.scores}
        return predictions | scores

    def infer_window(self, image: Tensor) -> dict[str, Tensor]:
        """Return predictions for windows (B, C, *size), with probabilities instead of scores.

        With `TestTimeAugmentation`, each window is augmented.
        """
        if isinstance(self.inference, TestTimeAugmentation):
            return replace(self.inference, window=None)(self.probabilities, image)
        return self.probabilities(image)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """Return the targets of supervised maps by prediction, and maps in the batch by loss term.

        Targets in the batch (``targets``, by key) are used; missing ones are computed on the
        batch's device. A loss on class scores that needs a map names it in its attribute
        ``target``. It receives the map if the batch has it, and otherwise computes it.
        """
        in_batch: dict[str, Tensor] = batch.get("targets", {})
        wanted = self._regressed
        targets: dict[str, Tensor] = {}
        for head in self.heads:
            own = wanted & set(head.predictions)
            keys = {name: target.key for name, target in head.target_of.items()}
            ready = {name: in_batch[keys[name]] for name in own if keys.get(name) in in_batch}
            targets |= ready | head.targets(batch["image"], batch["mask"], own - set(ready))
        for name, term in self.terms.items():
            key = getattr(getattr(term.loss, "target", None), "key", None)
            if term.prediction in self.scores and key in in_batch:
                targets[name] = in_batch[key]
        return targets

    def objective(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of all losses, and the unweighted terms by name."""
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
        """Return the arguments of the loss of a term."""
        prediction = self.terms[name].prediction
        if isinstance(prediction, list):
            return *(predictions[n] for n in prediction), mask
        if prediction not in self.scores:
            return predictions[prediction], targets[prediction], mask
        from_batch = [targets[name]] if name in targets else []
        return predictions[prediction], mask, *from_batch

    @torch.no_grad()
    def _statistics(
        self, predictions: dict[str, Tensor], targets: dict[str, Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Return additional statistics of heads and losses for a batch."""
        values: dict[str, Tensor] = {}
        for head in self.heads:
            values |= head.statistics(predictions, targets, mask)
        for name, loss in self.losses.items():
            if isinstance(loss, Loss):
                inputs = self._inputs(name, predictions, targets, mask)
                values |= {f"{name}_{k}": value for k, value in loss.statistics(*inputs).items()}
        return values

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the objective of one batch; log ``train/loss`` and its terms.

        Raises:
            InputError: (in the first epoch) A label is neither a class nor ignored.
        """
        if self.current_epoch == self._checked_epoch:
            losses = [
                loss.loss if isinstance(loss, MultiLabelLoss) else loss
                for loss in self.losses.values()
            ]
            ignored = {getattr(loss, "ignore_index", 255) for loss in losses}
            classes = 2 if self.multi_label else self.num_classes
            check_label_range(batch["mask"], classes, ignored, batch.get("name"))
        predictions, targets = self(batch["image"]), self.targets(batch)
        loss, terms = self.objective(predictions, targets, batch["mask"])
        size = len(batch["image"])
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        logged = terms if len(terms) > 1 else {}
        logged = logged | self._statistics(predictions, targets, batch["mask"])
        self.log_dict({f"train/{name}": v for name, v in logged.items()}, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Return predictions for whole images; log the loss averaged over images."""
        outputs = self._evaluate(batch, self.validation_loss)
        self.log("val/loss", self.validation_loss, prog_bar=True, add_dataloader_idx=False)
        return outputs

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Return the same as `validation_step`; log ``test/loss``."""
        outputs = self._evaluate(batch, self.test_loss)
        self.log("test/loss", self.test_loss, add_dataloader_idx=False)
        return outputs

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Return labels, and maps other than scores, at the size of the original images.

        If the batch has ``content`` (B, 4), the row, column, height and width of each image inside
        its padding, the padding is cropped first. If it has ``size`` (B, 2), the original height
        and width of each image, scores are resized to it bilinearly before the argmax.

        Returns:
            A dict: ``labels`` (B, H, W) uint8 (int32 from 257 classes on), or with several labels
            per pixel (B, K, H, W) uint8 of 0 and 1; ``predictions`` maps (B, C, H, W) by name;
            ``name``. If sizes differ, lists of (H, W) and (C, H, W) replace the tensors.
        """
        predictions = self.infer(batch["image"])
        return original_label_maps(predictions, batch, self.scores, self.multi_label)

    def _without_scores(self, predictions: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: maps for name, maps in predictions.items() if name not in self.scores}

    def _evaluate(self, batch: Batch, mean_loss: PerSampleMean) -> Batch:
        predictions, targets, mask = self.infer(batch["image"]), self.targets(batch), batch["mask"]
        losses = []
        for i in range(len(mask)):
            image = slice(i, i + 1)
            image_predictions = {name: maps[image] for name, maps in predictions.items()}
            image_targets = {name: maps[image] for name, maps in targets.items()}
            losses.append(self.objective(image_predictions, image_targets, mask[image])[0])
        mean_loss.update(torch.stack(losses))
        return scored(predictions["logits"], self.multi_label) | {
            "mask": mask,
            "predictions": self._without_scores(predictions),
            "targets": targets,
            "name": batch.get("name"),
        }

    def setup(self, stage: str) -> None:
        """Copy class names and colours from the DataModule; check SEMEDA's edge networks."""
        take_class_legend(self)
        check_labels_per_pixel(self)
        self._resumed = self._began = False
        if stage == "fit":
            self._planned_steps = self._stored_settings = None  # restored later if resumed
            check_edge_networks(self)

    def on_fit_start(self) -> None:
        """Compute class weights given as the name of a balancing scheme.

        This cannot happen in `setup`, which runs before a checkpoint is restored: it would count
        labels although the checkpoint has the weights.
        """
        resolve_class_weights(self, self.num_classes, missing_alone=self._resumed)
        if self._has(BatchSizeFinder):  # plans the schedule for the batches that it has found
            self.trainer.strategy.setup_optimizers(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store class names, colours and weights, and the planned length of a step schedule."""
        checkpoint |= {name: getattr(self, name) for name in LEGEND}
        checkpoint["class_weights"] = known_weights(self)
        if self._optimizer_settings is not None:
            checkpoint["optimizer_settings"] = self._optimizer_settings
        if not self._began and self._has(LearningRateFinder):
            # The learning-rate finder's temporary file, which it loads with weights_only=True.
            checkpoint.pop(self.CHECKPOINT_HYPER_PARAMS_KEY, None)
        if self._began and self.optimization.step_schedule is not None:
            # Not in the temporary file of the batch-size finder, whose run has another length.
            checkpoint["planned_steps"] = planned_steps(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore class names, colours and weights, and the planned length.

        Raises:
            InputError: The checkpoint's model has another ``multi_label``.
        """
        settings = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        several = settings.get("multi_label", False)  # missing in older checkpoints
        if settings and several != self.multi_label:
            raise InputError(
                f"the checkpoint's model has multi_label {several}, but this one "
                f"{self.multi_label}. Set data.multi_label to that of the checkpoint's run."
            )
        self._resumed = True
        for name in LEGEND:
            setattr(self, name, checkpoint.get(name, getattr(self, name)))
        self._planned_steps = checkpoint.get("planned_steps")
        self._stored_settings = checkpoint.get("optimizer_settings")
        take_known_weights(self, checkpoint.get("class_weights", {}))

    def on_train_start(self) -> None:
        """Log class weights, apply the finder's learning rate, and check a resumed schedule."""
        self._began = True
        self._checked_epoch = self.current_epoch  # losses do not check labels, which would wait
        # The learning-rate finder trains before `on_fit_start`.
        resolve_class_weights(self, self.num_classes, missing_alone=True)
        announce_class_weights(self)
        if self._lr_was_set:
            self.optimization.begin_at_lr(self)
            self._lr_was_set = False
        self.optimization.check_resumed(self, self._planned_steps)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return optimiser and schedule, see `Optimization`.

        Raises:
            InputError: A resumed run asks for another optimiser than its checkpoint.
        """
        configured: Any = self.optimization.configure(self)
        self._optimizer_settings = optimizer_settings(configured)
        if self._stored_settings is not None and not self._has(LearningRateFinder):
            self.optimization.check_same(self._optimizer_settings, self._stored_settings)
        return cast(OptimizerLRScheduler, configured)

    def _has(self, kind: type[Callback]) -> bool:
        callbacks = [] if self._trainer is None else self._trainer.callbacks  # type: ignore[attr-defined]
        return any(isinstance(callback, kind) for callback in callbacks)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict; raise InputError that names a tensor which does not fit."""
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            if (difference := mismatch(error)) is None:
                raise
            raise InputError(
                f"the checkpoint is of another model: {difference}. Use the config.yaml of the "
                "checkpoint's own run, or start a new run from its weights (--model.weights)."
            ) from error

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Load a checkpoint; works offline and runs no code in the file.

        Pretrained weights are not downloaded, since the checkpoint replaces them. A task created
        in Python stores the classes of this package and of ``torch.nn`` and ``torch.optim`` in the
        checkpoint. If it used others, pass ``weights_only=False``, which can run any code in the
        file, or declare them with ``torch.serialization.add_safe_globals``.

        Raises:
            InputError: See `read_checkpoint`; or the checkpoint is of another class.
        """
        kwargs["weights_only"] = kwargs.get("weights_only") is not False
        local = isinstance(checkpoint_path, str | Path) and "://" not in str(checkpoint_path)
        if local and kwargs["weights_only"]:
            with no_pretrained_weights():
                content = read_checkpoint(checkpoint_path)
            check_class_paths(content.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}), checkpoint_path)
            if cls.CHECKPOINT_HYPER_PARAMS_KEY not in content:
                raise InputError(
                    f"{checkpoint_path} does not say how its model was built. Give a checkpoint "
                    f"of a {cls.__name__}."
                )
        with no_pretrained_weights():
            return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def save_pretrained(
        self,
        folder: str | Path,
        figures: Mapping[str, float] | None = None,
        picture: str | Path | None = None,
    ) -> None:
        """Write the model as a folder in the Hugging Face hub's convention, without pickle.

        The folder holds ``model.safetensors`` (network and head), ``config.json`` (their classes
        and settings, ``inference``, class names and colours) and a model card, ``README.md``.
        Losses and optimiser are left out. To share it: ``huggingface_hub.upload_folder(repo_id=...,
        folder_path=folder, ignore_patterns=".lightning_seg/*")``.

        Args:
            folder: Created if missing; files that this program did not write are not replaced.
            figures: Scores by name for the model card.
            picture: Image file that is copied for the model card.

        Raises:
            InputError: Network or head are not described by plain data, weights are not finite,
                or a file of another origin would be replaced.
        """
        save_pretrained(self, folder, figures, picture)

    @classmethod
    def from_pretrained(cls, folder: str | Path, trust_classes: bool = False) -> Self:
        """Load a folder that `save_pretrained` wrote, on the CPU; works offline, runs no code.

        A model on the hub is downloaded first: ``huggingface_hub.snapshot_download("user/name")``
        returns its folder. Its loss is cross entropy; to train on with other losses, give
        ``model.safetensors`` as ``weights`` of a new task.

        Args:
            folder: The folder.
            trust_classes: Also make classes of other packages than this one, ``torch.nn`` and
                ``torch.optim``, which can run any code.

        Raises:
            InputError: A file is missing, damaged or does not fit.
        """
        settings, legend, state = read_pretrained(folder, trust_classes)
        loss = {"class_path": "lightning_seg.losses.CrossEntropyLoss"}
        settings["losses"] = {"cross_entropy": {"loss": loss}}
        try:
            with no_pretrained_weights():
                task = instantiate_module(cls, settings)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{folder}: the model cannot be made ({' '.join(str(error).split())[:300]}). Use "
                "the version of lightning_seg that its config.json names."
            ) from error
        try:
            LightningModule.load_state_dict(task, state)
        except RuntimeError as error:
            raise InputError(
                f"{folder}: model.safetensors is of another model than config.json describes: "
                f"{mismatch(error)}. Give a folder as save_pretrained wrote it."
            ) from error
        for name, values in legend.items():
            setattr(
                task, name, values and tuple(tuple(v) if name == LEGEND[1] else v for v in values)
            )
        return task
