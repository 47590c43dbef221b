"""Finding images, masks and names in batches and outputs of any project."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from lightning_seg.errors import InputError

# In the order in which they are tried: scores first, truth by its most telling name.
PREDICTION_KEYS = (
    "logits", "preds", "pred", "prediction", "predictions", "y_hat", "y_pred", "scores",
    "probabilities", "probs", "seg_logits", "output", "outputs", "out",
)  # fmt: skip
TARGET_KEYS = (
    "mask", "masks", "target", "targets", "label", "labels", "gt", "ground_truth", "y", "y_true",
    "segmentation", "semantic",
)  # fmt: skip
IMAGE_KEYS = ("image", "images", "img", "input", "inputs", "x", "pixel_values")
NAME_KEYS = ("name", "names", "filename", "file_name", "id", "image_id", "path")


def lookup(container: Any, key: str) -> Any:
    """What lies under ``key`` in nested mappings or attributes, dots go deeper; else None."""
    found = container
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else getattr(found, part, None)
    return found


def find_map(container: Any, keys: Iterable[str]) -> Tensor | None:
    """The first tensor of at least three dimensions: the container itself or under one of the keys.

    Of a tuple or list without keys, the first such tensor.
    """
    if isinstance(container, Tensor):
        return container if container.ndim >= 3 else None
    if isinstance(container, list | tuple) and not hasattr(container, "_fields"):
        return next((t for t in container if isinstance(t, Tensor) and t.ndim >= 3), None)
    found = (lookup(container, key) for key in keys)
    return next((t for t in found if isinstance(t, Tensor) and t.ndim >= 3), None)


def find_target(batch: Any, key: str | None = None) -> Tensor | None:
    """The truth in a batch: under ``key``, a usual name, or second in (image, mask)."""
    if key is not None:
        found = lookup(batch, key)
        return found if isinstance(found, Tensor) else None
    if isinstance(batch, list | tuple):
        second = batch[1] if len(batch) > 1 else None
        return find_map(second, TARGET_KEYS)
    return None if isinstance(batch, Tensor) else find_map(batch, TARGET_KEYS)


def find_image(batch: Any) -> Tensor | None:
    """The images (B, C, H, W) in a batch: under a usual name, first in (image, mask), or itself."""
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch
    image = find_map(first, IMAGE_KEYS)
    return image if image is not None and image.ndim == 4 else None


def find_names(size: int, *containers: Any) -> list[str] | None:
    """The samples' names in the first container that has as many of them as samples."""
    for container in containers:
        for key in NAME_KEYS if isinstance(container, Mapping) else ():
            names = container.get(key)
            if isinstance(names, Tensor) and names.shape == (size,):
                return [str(n) for n in names.tolist()]
            if isinstance(names, str) and size == 1:
                return [names]
            if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == size:
                return [str(name) for name in names]
    return None


def to_labels(pred: Tensor, num_classes: int) -> Tensor:
    """Scores (B, K, H, W) or labels (B, H, W) to labels (B, H, W) int64.

    A single decimal channel is a binary prediction: probabilities where all lie in [0, 1], else
    logits, as torchmetrics has it.

    Raises:
        InputError: The channels are not the classes, or a label is none of them.
    """
    if pred.ndim == 4 and pred.shape[1] == 1:
        pred = pred[:, 0]
    if pred.ndim == 3 and not pred.is_floating_point():
        labels = pred.long()
        if labels.min() < 0 or labels.max() >= num_classes:
            raise InputError(
                f"Predicted labels run from {labels.min()} to {labels.max()}, expected 0 to "
                f"{num_classes - 1}. Is num_classes right?"
            )
        return labels
    if pred.ndim == 3 and num_classes == 2:
        probabilities = bool(((pred >= 0) & (pred <= 1)).all())
        return (pred > (0.5 if probabilities else 0.0)).long()
    if pred.ndim != 4 or pred.shape[1] != num_classes:
        raise InputError(
            f"Predictions have the shape {tuple(pred.shape)}, expected scores "
            f"(B, {num_classes}, H, W) or integer labels (B, H, W). Is num_classes right?"
        )
    return pred.argmax(dim=1)


def to_masks(target: Tensor, labels: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    """The truth as (B, H, W) int64, checked against predicted labels (B, H, W).

    Raises:
        InputError: Another shape, or a value that is neither a class nor ignored.
    """
    if target.ndim == 4 and target.shape[1] == 1:
        target = target[:, 0]
    if target.shape != labels.shape:
        raise InputError(
            f"The truth has the shape {tuple(target.shape)}, the predictions are for "
            f"{tuple(labels.shape)}. Both must have the same height and width; resize the scores "
            "to the mask before they are measured."
        )
    target = target.long()
    unknown = (target < 0) | (target >= num_classes)
    if ignore_index is not None:
        unknown &= target != ignore_index
    if unknown.any():
        value = target[unknown][0].item()
        raise InputError(
            f"The truth holds the label {value}, but the classes are 0 to {num_classes - 1} and "
            f"ignored is {ignore_index}. Set num_classes or ignore_index to the data's."
        )
    return target


def describe(container: Any) -> str:
    """What a container holds, for messages to a person."""
    if isinstance(container, Tensor):
        return f"a tensor {tuple(container.shape)}"
    if isinstance(container, Mapping):
        return "a dict with the keys " + (", ".join(map(repr, container)) or "(none)")
    if isinstance(container, list | tuple):
        return f"a {type(container).__name__} of ({', '.join(describe(c) for c in container)})"
    return "None" if container is None else f"a {type(container).__name__}"
