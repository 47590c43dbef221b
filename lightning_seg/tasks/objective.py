"""Terms of a task's objective, and checks that each loss fits its predictions."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from lightning_seg.errors import InputError
from lightning_seg.heads import Head
from lightning_seg.losses import ClassWeights, Loss, MultiLabelLoss, WeightedLoss

Losses = Mapping[str, WeightedLoss | None]


def named_terms(losses: Mapping[str, Any], setting: str = "losses") -> dict[str, WeightedLoss]:
    """Return the loss terms by name, without null terms.

    Checkpoints before version 0.2 hold lists of losses by prediction. These terms are named by
    prediction and class, like the tensors in those checkpoints.
    """
    terms: dict[str, WeightedLoss] = {}
    for name, given in losses.items():
        if isinstance(given, list):
            for term in given:
                own = f"{name}_{type(term.loss).__name__}"
                while own in terms:
                    own += "_"
                terms[own] = WeightedLoss(term.loss, term.weight, prediction=name)
        elif given is not None:
            terms[name] = given
    for name in terms:
        if not name.isidentifier() or hasattr(nn.ModuleDict(), name) or name == "loss":
            raise InputError(
                f"{setting} has a term named {name!r}; choose another name of letters, digits and "
                "underscores that is not reserved, such as cross_entropy"
            )
    return terms


def per_label(terms: Mapping[str, WeightedLoss]) -> dict[str, WeightedLoss]:
    """Return the terms with each loss in a `MultiLabelLoss`, unless it is or holds one."""
    applied = dict(terms)
    for name, term in terms.items():
        if not _is_multi_label(term.loss):
            try:
                applied[name] = replace(term, loss=MultiLabelLoss(term.loss))
            except InputError as error:
                raise InputError(f"losses.{name}: {error}") from error
    return applied


def _is_multi_label(loss: nn.Module) -> bool:
    return any(isinstance(part, MultiLabelLoss) for part in loss.modules())


def check_heads_of_labels(heads: Sequence[Head]) -> None:
    """Raise unless there is one head with a channel for each of several labels per pixel."""
    head, *others = heads
    plain = tuple(head.predictions) == ("logits",)
    if not plain or others:
        kind = type(others[0] if plain else head).__name__
        raise InputError(
            f"with several labels per pixel there can be no {kind}, whose predictions and targets "
            "are those of one label per pixel; use ClassificationHead (--model.head "
            "ClassificationHead) without model.auxiliary"
        )
    if getattr(head, "sigmoid", False):
        raise InputError(
            "sigmoid gives two classes that exclude each other one channel; with several labels "
            "per pixel each has its own, so set sigmoid to false (model.head.sigmoid)"
        )


def check_terms(
    terms: Mapping[str, WeightedLoss], heads: Sequence[Head], multi_label: bool = False
) -> None:
    """Raise if a term does not fit the predictions of the heads."""
    owner = {prediction: head for head in heads for prediction in head.predictions}
    for name, term in terms.items():
        for prediction in term.predictions:
            if prediction not in owner:
                names = " and ".join(type(head).__name__ for head in heads)
                raise InputError(
                    f"losses.{name} uses the prediction {prediction!r}, but {names} predicts: "
                    f"{', '.join(owner)}. Set losses.{name}.prediction to one of these, or remove "
                    f"the term (losses.{name}: null)."
                )
        _check_call(name, term, owner)
        for prediction in term.predictions:
            if not multi_label:  # MultiLabelLoss has checked what is inside
                _check_channels(name, term.loss, prediction, owner[prediction])
    if not terms:
        raise InputError("losses is empty; give at least one term")


def _check_call(name: str, term: WeightedLoss, owner: Mapping[str, Head]) -> None:
    if isinstance(term.prediction, list):
        wanted = (*term.prediction, "mask")
    elif term.prediction in owner[term.prediction].scores:
        wanted = ("logits", "mask")
    else:
        wanted = ("prediction", "target", "mask")
    try:
        inspect.signature(term.loss.forward).bind(*[None] * len(wanted))
    except TypeError as error:
        raise InputError(
            f"losses.{name} is {type(term.loss).__name__} of {term.prediction!r}, but does not "
            f"take the arguments ({', '.join(wanted)}) ({error}); choose a loss for this "
            f"prediction, or set losses.{name}.prediction"
        ) from error


def _check_channels(name: str, loss: nn.Module, prediction: str, head: Head) -> None:
    if _is_multi_label(loss):
        raise InputError(
            f"losses.{name} is a MultiLabelLoss, but each pixel has one label. Give the loss "
            "inside it, or for several labels per pixel set data.multi_label (in Python "
            "SegmentationTask(multi_label=True)); for one sigmoid channel of a binary task set "
            "model.head.sigmoid to true."
        )
    channels = head.channels_of(prediction)
    try:
        for part in loss.modules():
            if isinstance(part, Loss):
                part.check_channels(channels)
            elif isinstance(part, ClassWeights):
                part.check_length(channels)
    except InputError as error:
        raise InputError(
            f"losses.{name}: {error} ({type(head).__name__}.channels_of({prediction!r}) "
            f"is {channels})"
        ) from error
