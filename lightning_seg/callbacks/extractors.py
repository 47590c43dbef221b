"""How callbacks get at predictions and truth in anybody's LightningModule."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

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


class Extractor:
    """Gives a callback the predictions and the truth of each evaluation step.

    A plain function called as ``(trainer, pl_module, outputs, batch) -> (pred, target)`` serves as
    well; this class adds what must happen around the step. ``pred`` is a tensor of scores
    (B, K, H, W) or labels (B, H, W), ``target`` one of labels (B, H, W).
    """

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Called before each evaluation step."""

    def end_step(self) -> None:
        """Called after each evaluation step, when predictions and truth have been taken."""

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Predictions and truth of the step that returned ``outputs`` for ``batch``."""
        raise NotImplementedError


ExtractorLike = Extractor | Callable[[Trainer, LightningModule, Any, Any], PredTarget]


class FromOutputs(Extractor):
    """Takes predictions and truth from what the step returns.

    Args:
        pred_key: Key of the predictions in the returned dict; dots go deeper (``"out.logits"``).
        target_key: Key of the truth in the returned dict or, where it is not there, in the batch.

    Raises:
        InputError: (when called) There is no tensor under a key.
    """

    def __init__(self, pred_key: str, target_key: str) -> None:
        self.pred_key = pred_key
        self.target_key = target_key

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """The tensors under the two keys."""
        pred = lookup(outputs, self.pred_key)
        target = lookup(outputs, self.target_key)
        if target is None:
            target = lookup(batch, self.target_key)
        for key, found in ((self.pred_key, pred), (self.target_key, target)):
            if not isinstance(found, Tensor):
                raise InputError(
                    f"FromOutputs found no tensor under {key!r}: the step of "
                    f"{type(pl_module).__name__} returned {describe(outputs)}, the batch is "
                    f"{describe(batch)}. Name keys that exist, or let the step return them."
                )
        return pred, target


class CaptureForward(Extractor):
    """Takes what a module puts out during the step, and the truth from the batch.

    A forward hook listens while the step runs: nothing is computed a second time, and the step need
    not return anything. The truth is taken before the step, which may change the batch.

    Args:
        module_path: Name of the submodule as in ``named_modules()``; empty for the LightningModule
            itself, that is for steps that call ``self(x)``.
        target_key: Key of the truth in the batch; by default the usual names are tried, or the
            second element of an (image, mask) batch is taken.

    Raises:
        InputError: (when called) No such submodule; it put out nothing like a prediction, or
            different ones in one step; no truth in the batch.
    """

    def __init__(self, module_path: str = "", target_key: str | None = None) -> None:
        self.module_path = module_path
        self.target_key = target_key
        self._handles: list[RemovableHandle] = []
        self._reset()

    def _reset(self) -> None:
        self._captured: Tensor | None = None
        self._calls = 0
        self._differing = False
        self._inner_calls: list[int] = []
        self.target: Tensor | None = None

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Finds the truth and begins to listen."""
        self.end_step()
        self.target = find_target(batch, self.target_key)
        module = self._module(pl_module)
        self._handles = [
            module.register_forward_pre_hook(self._enter),
            module.register_forward_hook(self._leave),
        ]

    def end_step(self) -> None:
        """Stops listening and lets go of all tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._reset()

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._inner_calls = [count + 1 for count in self._inner_calls] + [0]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        # Under DDP, Lightning sends the whole step through the module's own forward. Such a call
        # holds the real one inside it; its output is the step's and no prediction.
        if self._inner_calls.pop() > 0 or self.target is None:
            return
        maps = find_map(output, PREDICTION_KEYS)
        if maps is None or len(maps) != len(self.target):
            return
        # Only the last is kept: a sliding window calls many times.
        before = self._captured
        if before is not None and (before.shape != maps.shape or not torch.equal(before, maps)):
            self._differing = True
        self._captured = maps
        self._calls += 1

    def _module(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.module_path)
        except AttributeError as error:
            known = ", ".join(name for name, _ in pl_module.named_children())
            raise InputError(
                f"CaptureForward: {type(pl_module).__name__} has no submodule "
                f"{self.module_path!r}; its children are: {known}"
            ) from error

    def prediction(self) -> Tensor | None:
        """The captured prediction that fits the truth, or None.

        Raises:
            InputError: The module ran more than once in the step, with different results.
        """
        if self._differing:
            name = self.module_path or "the module's forward"
            raise InputError(
                f"{name} ran {self._calls} times in one step, with different results. Which one is "
                "the prediction? Return it from the step, or give an extractor: "
                "FromOutputs(pred_key, target_key) or CaptureForward(module_path)."
            )
        return self._captured

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """The module's output and the batch's truth."""
        if self.target is None:
            raise InputError(
                f"CaptureForward found no truth in the batch ({describe(batch)}). "
                "Name its key with CaptureForward(target_key=...)."
            )
        pred = self.prediction()
        if pred is None:
            name = self.module_path or f"{type(pl_module).__name__} itself"
            raise InputError(
                f"CaptureForward listened to {name} and got no prediction map in this step. Name "
                "the submodule that puts out the scores with CaptureForward(module_path)."
            )
        return pred, self.target


class AutoExtractor(Extractor):
    """Tries the step's returned dict, then the module's own forward; else says what it found.

    Never runs the model itself.
    """

    def __init__(self) -> None:
        self._capture = CaptureForward()

    def start_step(self, pl_module: LightningModule, batch: Any) -> None:
        """Begins to listen, see `CaptureForward`."""
        self._capture.start_step(pl_module, batch)

    def end_step(self) -> None:
        """Stops listening."""
        self._capture.end_step()

    def __call__(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any
    ) -> PredTarget:
        """Predictions and truth by the first way that gives both.

        Raises:
            InputError: None does; names the keys that were found and the ways out.
        """
        target = find_map(outputs, TARGET_KEYS) if isinstance(outputs, Mapping) else None
        if target is None:
            target = self._capture.target
        pred = find_map(outputs, PREDICTION_KEYS) if isinstance(outputs, Mapping) else None
        if pred is None and target is not None:
            pred = self._capture.prediction()
        if pred is not None and target is not None:
            return pred, target
        missing = [n for n, v in (("predictions", pred), ("the truth", target)) if v is None]
        raise InputError(
            f"Found no {' and no '.join(missing)} in the step of {type(pl_module).__name__}: it "
            f"returned {describe(outputs)}, the batch is {describe(batch)}, and a call of "
            "self(image) was listened for. Let the step return a dict with 'logits' and 'mask', or "
            "give the callback an extractor: FromOutputs(pred_key, target_key), "
            "CaptureForward(module_path, target_key) for a submodule that puts out the scores, or "
            "any function (trainer, pl_module, outputs, batch) -> (pred, target)."
        )
