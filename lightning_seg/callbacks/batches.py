"""Lookup of images, masks and names in the batches and outputs of any project."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from lightning_seg.errors import InputError

# Tried in this order: scores before labels, most specific name first.
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
    """Return the value at a dotted ``key`` of nested mappings or attributes, or None.

    Example:
        >>> lookup({"out": {"logits": 3}}, "out.logits")
        3
    """
    value = container
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def find_map(container: Any, keys: Iterable[str]) -> Tensor | None:
    """Return the first tensor with at least three dimensions, or None.

    It is the container itself, the value of one of the keys, or an element of a tuple or list.
    """
    if isinstance(container, Tensor):
        return container if container.ndim >= 3 else None
    if isinstance(container, list | tuple) and not hasattr(container, "_fields"):
        return next((t for t in container if isinstance(t, Tensor) and t.ndim >= 3), None)
    values = (lookup(container, key) for key in keys)
    return next((t for t in values if isinstance(t, Tensor) and t.ndim >= 3), None)


def find_target(batch: Any, key: str | None = None) -> Tensor | None:
    """Return a batch's ground truth: under ``key``, a usual name, or second in (image, mask)."""
    if key is not None:
        value = lookup(batch, key)
        return value if isinstance(value, Tensor) else None
    if isinstance(batch, list | tuple):
        second = batch[1] if len(batch) > 1 else None
        return find_map(second, TARGET_KEYS)
    return None if isinstance(batch, Tensor) else find_map(batch, TARGET_KEYS)


def find_image(batch: Any) -> Tensor | None:
    """Return a batch's images (B, C, H, W), or None.

    They are under a usual name, first in (image, mask), or the batch itself.
    """
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch
    image = find_map(first, IMAGE_KEYS)
    return image if image is not None and image.ndim == 4 else None


def find_names(size: int, *containers: Any) -> list[str] | None:
    """Return the sample names from the first container that has one per sample, or None."""
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
    """Convert scores (B, K, H, W) or labels (B, H, W) to labels (B, H, W) int64.

    A single floating-point channel is a binary prediction. As in torchmetrics, its values are
    probabilities if all are in [0, 1], otherwise logits.

    Example:
        >>> import torch
        >>> to_labels(torch.tensor([[[[2.0, -1.0]]]]), num_classes=2)
        tensor([[[1, 0]]])
    """
    if pred.ndim == 4 and pred.shape[1] == 1:
        pred = pred[:, 0]
    if pred.ndim == 3 and not pred.is_floating_point():
        labels = pred.long()
        if labels.min() < 0 or labels.max() >= num_classes:
            raise InputError(
                f"Predicted labels range from {labels.min()} to {labels.max()}, expected 0 to "
                f"{num_classes - 1}. Is num_classes right?"
            )
        return labels
    if pred.ndim == 3 and num_classes == 2:
        return _thresholded(pred)
    if pred.ndim != 4 or pred.shape[1] != num_classes:
        raise InputError(
            f"Predictions have shape {tuple(pred.shape)}, expected scores "
            f"(B, {num_classes}, H, W) or integer labels (B, H, W). Is num_classes right?"
        )
    return pred.argmax(dim=1)


def _thresholded(pred: Tensor) -> Tensor:
    probabilities = bool(((pred >= 0) & (pred <= 1)).all())
    return (pred > (0.5 if probabilities else 0.0)).long()


def to_multi_label(
    pred: Tensor, target: Tensor, num_labels: int, ignore_index: int | None, resize: bool = False
) -> tuple[Tensor, Tensor]:
    """Return predicted labels and the checked ground truth, both (B, K, H, W) int64 of 0 and 1.

    Args:
        pred: (B, K, H, W): logits, probabilities (all in [0, 1]) or labels.
        target: (B, K, H, W) of any type, with 0, 1 and ``ignore_index``.
        num_labels: K.
        ignore_index: Value of ignored pixels; None for none.
        resize: See `to_labels_and_masks`.
    """
    for name, maps in (("Predictions", pred), ("Ground truth", target)):
        if maps.ndim != 4 or maps.shape[1] != num_labels:
            raise InputError(
                f"{name} of shape {tuple(maps.shape)} with multi_label: expected (B, {num_labels}, "
                "H, W), a map of each label. Is num_classes right? For one label per pixel, set "
                "multi_label=False."
            )
    if resize and pred.shape[-2:] != target.shape[-2:]:
        pred = _resized(pred, target.shape[-2:])
    labels = _thresholded(pred) if pred.is_floating_point() else pred.long()
    return labels, _checked(target, labels, 2, ignore_index)


def to_labels_and_masks(
    pred: Tensor, target: Tensor, num_classes: int, ignore_index: int | None, resize: bool = False
) -> tuple[Tensor, Tensor]:
    """Return predicted labels and the checked ground truth, both (B, H, W) int64.

    Args:
        pred: Scores or labels, see `to_labels`.
        target: Labels (B, H, W) or (B, 1, H, W) of any type that holds whole numbers.
        num_classes: Number of classes.
        ignore_index: Label of ignored pixels; None for none.
        resize: Bring predictions to the size of the ground truth: scores bilinearly, labels by
            nearest neighbour.
    """
    target = _squeezed(target)
    if resize and pred.shape[-2:] != target.shape[-2:]:
        pred = _resized(pred, target.shape[-2:])
    labels = to_labels(pred, num_classes)
    return labels, _checked(target, labels, num_classes, ignore_index)


def _checked(target: Tensor, labels: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    """Return the ground truth as int64, after checking its shape and values."""
    target = target.to(labels.device)
    if target.shape != labels.shape:
        raise InputError(
            f"The ground truth has shape {tuple(target.shape)}, but the predictions have shape "
            f"{tuple(labels.shape)}. Both must be the same; for scores of another size, set "
            "resize=True or resize them to the mask's size before they are evaluated."
        )
    if target.is_floating_point() and (target != target.round()).any():
        raise InputError(
            "The ground truth holds fractions, such as probabilities or resized masks; expected "
            "labels. Resize masks by nearest neighbour."
        )
    target = target.long()
    unknown = (target < 0) | (target >= num_classes)
    if ignore_index is not None:
        unknown &= target != ignore_index
    if unknown.any():
        value = target[unknown][0].item()
        raise InputError(
            f"The ground truth holds the label {value}, but the classes are 0 to "
            f"{num_classes - 1} and ignore_index is {ignore_index}. Set num_classes or "
            "ignore_index to those of the data."
        )
    return target


def _squeezed(target: Tensor) -> Tensor:
    if target.ndim == 4 and target.shape[1] > 1:
        raise InputError(
            f"The ground truth has shape {tuple(target.shape)}: one channel per class is one-hot "
            "or multi-label, expected labels (B, H, W). For one-hot masks, give an extractor that "
            "returns target.argmax(1); for several labels per pixel, set multi_label=True, in "
            "BoundaryMetrics and PredictionPanels alike."
        )
    return target[:, 0] if target.ndim == 4 else target


def _resized(pred: Tensor, size: Sequence[int]) -> Tensor:
    pred = pred if pred.ndim == 4 else pred[:, None]
    if pred.is_floating_point():
        return interpolate(pred.float(), tuple(size), mode="bilinear", align_corners=False)
    return interpolate(pred.float(), tuple(size), mode="nearest-exact").long()


def describe(container: Any) -> str:
    """Describe the contents of a container for error messages."""
    if isinstance(container, Tensor):
        return f"a tensor {tuple(container.shape)}"
    if isinstance(container, Mapping):
        return "a dict with the keys " + (", ".join(map(repr, container)) or "(none)")
    if isinstance(container, list | tuple):
        return f"a {type(container).__name__} of ({', '.join(describe(c) for c in container)})"
    return "None" if container is None else f"a {type(container).__name__}"
