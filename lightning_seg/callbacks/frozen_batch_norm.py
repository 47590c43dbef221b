"""Batch normalisation by running statistics that stay as they are."""

import difflib
from collections.abc import Iterator, Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_seg.errors import InputError


class FrozenBatchNorm(Callback):
    """Freezes batch normalisation while any LightningModule is fitted.

    The running statistics, a pretrained encoder's for one, take the place of the batch's and are
    not updated (Chen et al. 2020, sections 3.4 and 4.4, whose batches of 2 to 6 images are too
    small for statistics). A new decoder has no statistics worth keeping: to freeze the encoder's
    alone name it.

    ```yaml
    trainer:
      callbacks:
        - class_path: lightning_seg.callbacks.FrozenBatchNorm
          init_args: {modules: [network.encoder]}
    ```

    Args:
        modules: Paths of the modules in which it is frozen, with all that lies below; by default
            the whole LightningModule.
        affine: Freeze its scales and shifts as well.

    Raises:
        InputError: No modules, or, when the fit is set up, a path that does not exist (yet: modules
            made by ``setup`` or ``configure_model`` come too late), without batch normalisation
            below it, or with one that has no running statistics.
    """

    def __init__(self, modules: Sequence[str] | None = None, affine: bool = True) -> None:
        if modules is not None and (isinstance(modules, str) or not modules):
            raise InputError(
                f"modules is {modules!r}, but must be a list of one or more paths such as "
                "[network.encoder], or null for the whole module"
            )
        self.modules = modules
        self.affine = affine
        self._frozen: list[_BatchNorm] = []
        self._modes: list[bool] = []
        self._parameters: list[nn.Parameter] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the layers and freezes their parameters, before an optimiser collects them."""
        if stage != "fit":
            return
        for norm in self._norms(pl_module):
            for parameter in norm.parameters(recurse=False):
                if self.affine and parameter.requires_grad:
                    parameter.requires_grad_(False)
                    self._parameters.append(parameter)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the layers again: synchronised ones may have taken their places."""
        self._frozen = list(self._norms(pl_module))
        self._modes = [norm.training for norm in self._frozen]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Freezes before every batch, for anything may call ``train()`` between two."""
        for norm in self._frozen:
            norm.eval()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leaves the module as free to train as it was."""
        if stage != "fit":
            return
        for parameter in self._parameters:
            parameter.requires_grad_()
        for norm, mode in zip(self._frozen, self._modes, strict=True):
            norm.train(mode)
        self._parameters, self._frozen, self._modes = [], [], []

    def _norms(self, module: LightningModule) -> Iterator[_BatchNorm]:
        by_path = dict(module.named_modules(remove_duplicate=False))
        found: dict[int, _BatchNorm] = {}
        for path in [""] if self.modules is None else self.modules:
            if path not in by_path:
                near = difflib.get_close_matches(path, by_path, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else "see print(module) for them"
                raise InputError(
                    f"FrozenBatchNorm: modules names {path!r}, but {type(module).__name__} has no "
                    f"such module; {hint}"
                )
            within = {
                f"{path}.{name}".strip("."): norm
                for name, norm in by_path[path].named_modules()
                if isinstance(norm, _BatchNorm)
            }
            if not within:
                raise InputError(
                    f"FrozenBatchNorm: there is no batch normalisation in {path or 'the module'!r} "
                    f"of {type(module).__name__}; leave the callback out, or name other modules"
                )
            for name, norm in within.items():
                if norm.running_mean is None:
                    raise InputError(
                        f"FrozenBatchNorm: {name!r} keeps no running statistics "
                        "(track_running_stats=False), so they cannot take the batch's place; name "
                        "modules without it"
                    )
                found[id(norm)] = norm
        yield from found.values()
