"""Class weights that a DataModule computes for the losses of a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_seg.errors import InputError
from lightning_seg.losses import ClassBalance, ClassWeights


def balanced(module: LightningModule) -> dict[str, ClassWeights]:
    """Return the class weights in ``module`` that name a balancing scheme, by module path."""
    return {
        path: weights
        for path, weights in module.named_modules()
        if isinstance(weights, ClassWeights) and weights.balance is not None
    }


def known_weights(module: LightningModule) -> dict[str, tuple[ClassBalance, list[float]]]:
    """Return scheme and values of all resolved weights by module path, for a checkpoint."""
    return {
        path: (weights.balance, weights.values.tolist())
        for path, weights in balanced(module).items()
        if weights.balance is not None and weights.values is not None
    }


def take_known_weights(module: LightningModule, known: Mapping[str, Any]) -> None:
    """Restore weights from a checkpoint where the balancing scheme is unchanged.

    Args:
        module: The module with the losses.
        known: The result of `known_weights`; in older checkpoints only the values by path.
    """
    for path, weights in balanced(module).items():
        if path not in known:
            continue
        balance, values = known[path] if isinstance(known[path][0], str) else (None, known[path])
        if balance in (None, weights.balance):
            weights.resolve(values, module.device)


def resolve_class_weights(
    module: LightningModule, num_classes: int, missing_alone: bool = False
) -> None:
    """Compute the class weights of all losses of ``module``, which is attached to its trainer.

    Rank 0 asks the DataModule, which needs a method ``class_weights(balance) -> Sequence[float]``
    like that of `SegmentationDataModule`, and broadcasts the result. If the DataModule has no such
    method, weights restored from a checkpoint are kept.

    Args:
        module: The module with the losses.
        num_classes: Expected number of weights.
        missing_alone: Keep existing weights and compute only missing ones.
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
            reason = "there is no DataModule"
            if datamodule is not None:
                reason = f"{type(datamodule).__name__} has no method class_weights"
            raise InputError(
                f"class_weights is {weights.balance!r}, which the DataModule computes, but "
                f"{reason}. Give the weights as numbers, use a DataModule of lightning_seg.data, "
                "or add a method class_weights(balance) that returns one number per class."
            )


def announce_class_weights(module: LightningModule) -> None:
    """Log the computed class weights once, on rank 0."""
    names = getattr(getattr(module.trainer, "datamodule", None), "class_names", None)
    balances = balanced(module).values()
    computed = {w.balance: w.values.tolist() for w in balances if w.values is not None}
    for balance, weights in computed.items():
        known = names if names and len(names) == len(weights) else range(len(weights))
        listed = ", ".join(f"{name} {weight:.4g}" for name, weight in zip(known, weights))
        rank_zero_info(f"Class weights ({balance}): {listed}")


def _check_answer(
    answer: Sequence[float], num_classes: int, balance: ClassBalance, datamodule: object
) -> None:
    if len(answer) != num_classes:
        raise InputError(
            f"{type(datamodule).__name__}.class_weights({balance!r}) returned {len(answer)} "
            f"weights, but the model has {num_classes} classes. Return one number per class."
        )


def _ask(module: LightningModule, datamodule: object, balance: ClassBalance) -> Sequence[float]:
    """Compute on rank 0 and return (or raise) the result on every rank."""
    answer: Sequence[float] | InputError | None = None
    if module.trainer.is_global_zero:
        try:
            weights = datamodule.class_weights(balance)  # type: ignore[attr-defined]
            answer = [float(weight) for weight in weights]
        except InputError as error:
            answer = error
        except Exception as error:  # raised on rank 0 alone, it would hang the other ranks
            answer = InputError(f"the class weights could not be computed: {error}")
    answer = module.trainer.strategy.broadcast(answer)
    if isinstance(answer, InputError):
        raise answer
    assert answer is not None
    return answer
