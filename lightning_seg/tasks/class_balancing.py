"""Class weights that a DataModule counts for the losses of a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_seg.errors import InputError
from lightning_seg.losses import ClassBalance, ClassWeights


def balanced(module: LightningModule) -> dict[str, ClassWeights]:
    """All class weights below ``module`` that were given as the name of a balance, by path."""
    return {
        path: weights
        for path, weights in module.named_modules()
        if isinstance(weights, ClassWeights) and weights.balance is not None
    }


def known_weights(module: LightningModule) -> dict[str, tuple[ClassBalance, list[float]]]:
    """Balance and numbers of the weights that are resolved, by path, for a checkpoint."""
    return {
        path: (weights.balance, weights.values.tolist())
        for path, weights in balanced(module).items()
        if weights.balance is not None and weights.values is not None
    }


def take_known_weights(module: LightningModule, known: Mapping[str, Any]) -> None:
    """Resolves what a checkpoint knows, where the balance still is the same.

    Args:
        module: Holds the losses.
        known: What `known_weights` gave; of an older checkpoint the numbers alone by path.
    """
    for path, weights in balanced(module).items():
        if path not in known:
            continue
        balance, numbers = known[path] if isinstance(known[path][0], str) else (None, known[path])
        if balance in (None, weights.balance):
            weights.resolve(numbers, module.device)


def resolve_class_weights(
    module: LightningModule, num_classes: int, missing_alone: bool = False
) -> None:
    """Resolves the balances of all losses of ``module``, which is attached to its trainer.

    The first process asks the DataModule, which needs a method
    ``class_weights(balance) -> Sequence[float]`` as `SegmentationDataModule` has it, and tells the
    others. Where a DataModule has none, weights that a checkpoint brought stay as they are.

    Args:
        module: Holds the losses.
        num_classes: How many weights a DataModule is to give.
        missing_alone: Whether weights that are there already stay, and are not asked for.

    Raises:
        InputError: There are no such DataModule and no such weights, the DataModule refuses, or
            gives more or fewer weights than there are classes.
    """
    answers: dict[ClassBalance, Sequence[float]] = {}
    datamodule = getattr(module.trainer, "datamodule", None)
    for weights in balanced(module).values():
        assert weights.balance is not None
        if missing_alone and weights.values is not None:
            continue
        if callable(getattr(datamodule, "class_weights", None)):
            if weights.balance not in answers:
                answer = _ask(module, datamodule, weights.balance)
                _check_answer(answer, num_classes, weights.balance, datamodule)
                answers[weights.balance] = answer
            weights.resolve(answers[weights.balance], module.device)
        elif weights.values is None:
            found = "there is no DataModule"
            if datamodule is not None:
                found = f"{type(datamodule).__name__} has no method class_weights"
            raise InputError(
                f"class_weights is {weights.balance!r}, to be counted by the DataModule, but "
                f"{found}. Give the weights as numbers, use a DataModule of lightning_seg.data, or "
                "give yours a method class_weights(balance) that returns a number for each class."
            )


def announce_class_weights(module: LightningModule) -> None:
    """Says once, on the first process, what each balance came to."""
    names = getattr(getattr(module.trainer, "datamodule", None), "class_names", None)
    balances = balanced(module).values()
    found = {w.balance: w.values.tolist() for w in balances if w.values is not None}
    for balance, weights in found.items():
        known = names if names and len(names) == len(weights) else range(len(weights))
        listed = ", ".join(f"{name} {weight:.4g}" for name, weight in zip(known, weights))
        rank_zero_info(f"Class weights ({balance}): {listed}")


def _check_answer(
    answer: Sequence[float], num_classes: int, balance: ClassBalance, datamodule: object
) -> None:
    if len(answer) != num_classes:
        raise InputError(
            f"{type(datamodule).__name__}.class_weights({balance!r}) gave {len(answer)} weights, "
            f"but the model has {num_classes} classes. Let it return one number for each class."
        )


def _ask(module: LightningModule, datamodule: object, balance: ClassBalance) -> Sequence[float]:
    """The first process's answer on every process, be it weights or a refusal."""
    answer: Sequence[float] | InputError | None = None
    if module.trainer.is_global_zero:
        try:
            found = datamodule.class_weights(balance)  # type: ignore[attr-defined]
            answer = [float(weight) for weight in found]
        except InputError as error:
            answer = error
        except Exception as error:  # kept from the others, it would let them wait for ever
            answer = InputError(f"the class weights could not be counted: {error}")
    answer = module.trainer.strategy.broadcast(answer)
    if isinstance(answer, InputError):
        raise answer
    assert answer is not None
    return answer
