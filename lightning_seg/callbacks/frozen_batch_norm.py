"""Batch normalisation with frozen running statistics."""

import difflib
from collections.abc import Iterator, Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_seg.errors import InputError


class FrozenBatchNorm(Callback):
    """Freeze batch normalisation while a LightningModule is trained.

    Layers normalise with their running statistics, which are not updated. This suits a pretrained
    encoder and batches too small for good statistics (Chen et al. 2020, sections 3.4 and 4.4, with
    batches of 2 to 6 images). A new decoder has no useful statistics yet, so name the encoder
    alone:

    ```yaml
    trainer:
      callbacks:
        - class_path: lightning_seg.callbacks.FrozenBatchNorm
          init_args: {modules: [network.encoder]}
    ```

    Args:
        modules: Paths of the modules to freeze, including their submodules; by default the whole
            LightningModule.
        affine: Also freeze the scales and shifts.

    Raises:
        InputError: ``modules`` is empty. (in setup) A path does not exist, contains no batch
            normalisation, or contains a layer without running statistics. Modules that ``setup``
            or ``configure_model`` creates do not exist yet.
    """

    def __init__(self, modules: Sequence[str] | None = None, affine: bool = True) -> None:
        if modules is not None and (isinstance(modules, str) or not modules):
            raise InputError(
                f"modules is {modules!r}, expected a list of one or more paths such as "
                "[network.encoder], or null for the whole module."
            )
        self.modules = modules
        self.affine = affine
        self._frozen: list[_BatchNorm] = []
        self._modes: list[bool] = []
        self._parameters: list[nn.Parameter] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freeze the layers' parameters before an optimiser collects them."""
        if stage != "fit":
            return
        for norm in self._norms(pl_module):
            for parameter in norm.parameters(recurse=False):
                if self.affine and parameter.requires_grad:
                    parameter.requires_grad_(False)
                    self._parameters.append(parameter)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers again, as synchronised ones may have replaced them."""
        self._frozen = list(self._norms(pl_module))
        self._modes = [norm.training for norm in self._frozen]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Put the layers in eval mode before every batch; ``train()`` may be called in between."""
        for norm in self._frozen:
            norm.eval()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the layers' training modes and trainable parameters."""
        if stage != "fit":
            return
        for parameter in self._parameters:
            parameter.requires_grad_()
        for norm, mode in zip(self._frozen, self._modes, strict=True):
            norm.train(mode)
        self._parameters, self._frozen, self._modes = [], [], []

    def _norms(self, module: LightningModule) -> Iterator[_BatchNorm]:
        by_path = dict(module.named_modules(remove_duplicate=False))
        norms: dict[int, _BatchNorm] = {}
        for path in [""] if self.modules is None else self.modules:
            if path not in by_path:
                near = difflib.get_close_matches(path, by_path, n=1, cutoff=0.4)
                hint = f"Did you mean {near[0]!r}?" if near else "See print(module)."
                raise InputError(
                    f"FrozenBatchNorm: modules names {path!r}, but {type(module).__name__} has no "
                    f"such module. {hint}"
                )
            within = {
                f"{path}.{name}".strip("."): norm
                for name, norm in by_path[path].named_modules()
                if isinstance(norm, _BatchNorm)
            }
            if not within:
                raise InputError(
                    f"FrozenBatchNorm: there is no batch normalisation in {path or 'the module'!r} "
                    f"of {type(module).__name__}. Remove the callback, or name other modules."
                )
            for name, norm in within.items():
                if norm.running_mean is None:
                    raise InputError(
                        f"FrozenBatchNorm: {name!r} keeps no running statistics "
                        "(track_running_stats=False) and cannot be frozen. Name modules without it."
                    )
                norms[id(norm)] = norm
        yield from norms.values()
