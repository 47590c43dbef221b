"""Extractors of predictions and ground truth from any LightningModule."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from lightning_seg.callbacks.batches import (
    PREDICTION_KEYS,
    TARGET_KEYS,
    describe,
    find_map,
    find_target,
    lookup,
)
from lightning_seg.errors import InputError

PredTarget = tuple[Tensor, Tensor]

_LISTENERS = "_forward_listeners"


class Extractor:
    """Base of extractors: they return the predictions and ground truth of an evaluation step.

    A plain function ``(trainer, pl_module, outputs, batch) -> (pred, target)`` works too; this
    class adds hooks before and after the step. ``pred`` holds scores (B, K, H, W) or labels
    (B, H, W), ``target`` holds labels (B, H, W).
    """

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Prepare for an evaluation step; called before it."""

    def end_step(self) -> None:
        """Clean up after an evaluation step; called once its results have been extracted."""

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Return predictions and ground truth of the step that returned ``outputs``."""
        raise NotImplementedError


ExtractorLike = Extractor | Callable[[Trainer, LightningModule, Any, Any], PredTarget]


class FromOutputs(Extractor):
    """Extractor that reads predictions and ground truth from the outputs of the step.

    Args:
        pred_key: Key of the predictions in the returned dict; a dotted key such as
            ``"out.logits"`` reaches nested values.
        target_key: Key of the ground truth in the returned dict, or else in the batch.

    Raises:
        InputError: (when called) A key holds no tensor.

    Example:
        >>> from lightning_seg.callbacks import BoundaryMetrics, FromOutputs
        >>> metrics = BoundaryMetrics(num_classes=2, extractor=FromOutputs("logits", "mask"))
    """

    def __init__(self, pred_key: str, target_key: str) -> None:
        self.pred_key = pred_key
        self.target_key = target_key

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Return the tensors under the two keys."""
        pred = lookup(outputs, self.pred_key)
        target = lookup(outputs, self.target_key)
        if target is None:
            target = lookup(batch, self.target_key)
        for key, value in ((self.pred_key, pred), (self.target_key, target)):
            if not isinstance(value, Tensor):
                raise InputError(
                    f"FromOutputs found no tensor under {key!r}: the step of "
                    f"{type(pl_module).__name__} returned {describe(outputs)}, the batch is "
                    f"{describe(batch)}. Use keys that exist, or return the tensors from the step."
                )
        return pred, target


class CaptureForward(Extractor):
    """Extractor that captures a module's output during the step, and reads the batch's mask.

    Nothing is computed twice, and the step need not return anything. The ground truth is read
    before the step, which may modify the batch.

    Args:
        module_path: Name of the submodule as in ``named_modules()``. The empty name is the
            LightningModule itself, for steps that call ``self(x)`` or ``self.forward(x)``.
        target_key: Key of the ground truth in the batch; by default the usual names, or the second
            element of an (image, mask) batch.

    Raises:
        InputError: (when called) The submodule does not exist, returned no prediction map, or
            returned different ones in one step; or the batch holds no ground truth.

    Example:
        >>> from lightning_seg.callbacks import BoundaryMetrics, CaptureForward
        >>> metrics = BoundaryMetrics(num_classes=2, extractor=CaptureForward("model.decoder"))
    """

    def __init__(self, module_path: str = "", target_key: str | None = None) -> None:
        self.module_path = module_path
        self.target_key = target_key
        self.target: Tensor | None = None
        self._captured = _Captured()
        self._stop: Callable[[], None] = _nothing

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Read the ground truth and start listening."""
        self.end_step()
        self.target = find_target(batch, self.target_key)
        module = self._module(pl_module)
        if self.target is None:
            return
        # The step calls the module's own forward with or without hooks; under DDP, Lightning runs
        # the step itself through the hooks.
        listen = _listen_to_forward if module is pl_module else _listen_to_hooks
        self._stop = listen(module, self._captured, len(self.target))

    def end_step(self) -> None:
        """Stop listening and release all tensors."""
        self._stop()
        self._stop, self._captured, self.target = _nothing, _Captured(), None

    def _module(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.module_path)
        except AttributeError as error:
            known = ", ".join(name for name, _ in pl_module.named_children())
            raise InputError(
                f"CaptureForward: {type(pl_module).__name__} has no submodule "
                f"{self.module_path!r}. Its children are: {known}."
            ) from error

    def fitting(self, target: Tensor) -> Tensor | None:
        """Return the captured prediction if it is the only one, and of the target's size."""
        return self._captured.only(target)

    def prediction(self) -> Tensor | None:
        """Return the captured prediction whose batch size fits the ground truth, or None."""
        if self._captured.differing:
            name = self.module_path or "the module's forward"
            raise InputError(
                f"{name} ran {self._captured.calls} times in one step, with different results. "
                "Which one is the prediction? Return it from the step, or give an extractor: "
                "FromOutputs(pred_key, target_key) or CaptureForward(module_path)."
            )
        return self._captured.last

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Return the module's output and the batch's ground truth."""
        if self.target is None:
            raise InputError(
                f"CaptureForward found no ground truth in the batch ({describe(batch)}). "
                "Give its key: CaptureForward(target_key=...)."
            )
        pred = self.prediction()
        if pred is None:
            name = self.module_path or f"{type(pl_module).__name__} itself"
            raise InputError(
                f"CaptureForward captured no prediction map from {name} in this step. Give the "
                "submodule that outputs the scores: CaptureForward(module_path)."
            )
        return pred, self.target


class _Captured:
    """The last prediction map of a module in a step; a sliding window makes many calls."""

    def __init__(self) -> None:
        self.last: Tensor | None = None
        self.calls = 0
        self.differing = False

    def add(self, output: Any, batch_size: int) -> None:
        maps = find_map(output, PREDICTION_KEYS)
        if maps is None or len(maps) != batch_size:
            return
        before = self.last
        if before is not None and (before.shape != maps.shape or not torch.equal(before, maps)):
            self.differing = True
        self.last = maps
        self.calls += 1

    def only(self, target: Tensor) -> Tensor | None:
        """Return the map if there was one alone, of the ground truth's height and width."""
        fits = self.last is not None and self.last.shape[-2:] == target.shape[-2:]
        return self.last if fits and not self.differing else None


def _listen_to_forward(
    module: nn.Module, captured: _Captured, batch_size: int
) -> Callable[[], None]:
    """Wrap a module's ``forward``, once for all that listen; return how to stop listening."""
    attributes = vars(module)
    listeners: list[tuple[_Captured, int]] | None = attributes.get(_LISTENERS)
    if listeners is None:
        listeners = attributes[_LISTENERS] = []
        attributes["forward"] = _listened(module, listeners)
    own = captured, batch_size
    listeners.append(own)

    def stop() -> None:
        listeners.remove(own)
        if not listeners:
            del attributes[_LISTENERS]
            given = attributes.pop("forward").__wrapped__
            if getattr(given, "__func__", None) is not type(module).forward:
                attributes["forward"] = given

    return stop


def _listened(module: nn.Module, listeners: "list[tuple[_Captured, int]]") -> Callable[..., Any]:
    forward = module.forward

    @wraps(forward)
    def listened(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        for captured, batch_size in listeners:
            captured.add(output, batch_size)
        return output

    return listened


def _listen_to_hooks(module: nn.Module, captured: _Captured, batch_size: int) -> Callable[[], None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        captured.add(output, batch_size)

    return module.register_forward_hook(hook).remove


def _nothing() -> None:
    pass


def _listen_to_loss(module: nn.Module, captured: _Captured, target: Tensor) -> Callable[[], None]:
    """Listen to the scores that a module is called with, followed by the mask, if it is a loss."""

    def hook(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        parts = output.values() if isinstance(output, Mapping) else (output,)
        if len(given) < 2 or not all(isinstance(p, Tensor) and p.numel() == 1 for p in parts):
            return
        scores, mask = given[:2]
        if scores.ndim == 4 and _is_target(mask, target):
            captured.add(scores, len(target))

    return module.register_forward_hook(hook, with_kwargs=True).remove


def _is_target(mask: Tensor, target: Tensor) -> bool:
    """Return whether a loss was given the ground truth, unlike a loss of edges or depths."""
    if mask.numel() != target.numel() or mask.shape[-2:] != target.shape[-2:]:
        return False
    return mask is target or torch.equal(mask.reshape(target.shape).to(target), target)


class _Children:
    """Listens to the children of a module: to its losses, and to what returns maps."""

    def __init__(self) -> None:
        self._scored = _Captured()
        self._captured: dict[str, _Captured] = {}
        self._stops: list[Callable[[], None]] = []

    def start(self, pl_module: LightningModule, target: Tensor | None) -> None:
        if target is None:
            return
        for name, child in pl_module.named_children():
            self._captured[name] = _Captured()
            self._stops.append(_listen_to_hooks(child, self._captured[name], len(target)))
            if not isinstance(child, Metric | MetricCollection):
                self._stops.append(_listen_to_loss(child, self._scored, target))

    def stop(self) -> None:
        for stop in self._stops:
            stop()
        self._scored, self._captured, self._stops = _Captured(), {}, []

    def fitting(self, target: Tensor) -> Tensor | None:
        """Return the one map of the mask's height and width that any child returned."""
        found = [c.only(target) for c in self._captured.values()]
        maps = [pred for pred in found if pred is not None]
        return maps[0] if len(maps) == 1 else None

    def scored(self, target: Tensor) -> Tensor | None:
        """Return the scores of the mask's height and width that a loss was called with."""
        return self._scored.only(target)

    def prediction(self, target: Tensor) -> Tensor | None:
        """Return the map of the mask's height and width, or else the only map, of one child."""
        maps = {name: c.last for name, c in self._captured.items() if c.last is not None}
        found = [name for name, pred in maps.items() if pred.shape[-2:] == target.shape[-2:]]
        if not found and len(maps) == 1:
            found = [name for name, pred in maps.items() if pred.ndim == 4]  # no tokens
        if len(found) == 1 and not self._captured[found[0]].differing:
            return maps[found[0]]
        if found:
            raise InputError(
                f"The submodules {', '.join(found)} returned maps in one step, and different ones. "
                "Which one is the prediction? Give an extractor: CaptureForward(module_path) or "
                "FromOutputs(pred_key, target_key)."
            )
        return None


class AutoExtractor(Extractor):
    """Extractor that tries the dict returned by the step, then the output of the module's forward.

    If the forward returned no map of the mask's height and width, or several (it ran on the windows
    of a larger image), the map is taken that alone among those of the module's children has them.
    Then come the scores that a child was called with together with the mask: a loss. Last comes the
    only child that returned a map at all, such as SegFormer's at a quarter. It never runs the model
    itself.
    """

    def __init__(self) -> None:
        self._capture = CaptureForward()
        self._children = _Children()

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Start listening, see `CaptureForward`."""
        self.end_step()
        self._capture.start_step(pl_module, batch)
        self._children.start(pl_module, self._capture.target)

    def end_step(self) -> None:
        """Stop listening."""
        self._capture.end_step()
        self._children.stop()

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Return predictions and ground truth."""
        target = find_map(outputs, TARGET_KEYS) if isinstance(outputs, Mapping) else None
        if target is None:
            target = self._capture.target
        pred = find_map(outputs, PREDICTION_KEYS) if isinstance(outputs, Mapping) else None
        if pred is None and target is not None:
            pred = self._prediction(target)
        if pred is not None and target is not None:
            return pred, target
        missing = [n for n, v in (("predictions", pred), ("ground truth", target)) if v is None]
        raise InputError(
            f"Found no {' and no '.join(missing)} in the step of {type(pl_module).__name__}: it "
            f"returned {describe(outputs)}, the batch is {describe(batch)}, and neither its "
            "forward nor one of its children returned a map of the batch, nor was a loss called "
            "with one. Return a dict with 'logits' and 'mask' from the step, or give the callback "
            "an extractor: FromOutputs(pred_key, target_key), CaptureForward(module_path, "
            "target_key) for a submodule that outputs the scores, or any function (trainer, "
            "pl_module, outputs, batch) -> (pred, target)."
        )

    def _prediction(self, target: Tensor) -> Tensor | None:
        fitting = self._capture.fitting, self._children.fitting, self._children.scored
        for find in fitting:
            if (pred := find(target)) is not None:
                return pred
        pred = self._capture.prediction()
        return self._children.prediction(target) if pred is None else pred
