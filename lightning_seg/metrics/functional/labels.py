"""What every metric does first: check the two maps and bring them into a small integer type."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_settings(num_classes: int, **choices: tuple[object, Sequence[object]]) -> None:
    """Raise where a metric's settings make no sense.

    Args:
        num_classes: At least 2; a binary task has two classes.
        **choices: For each named setting its value and the values it may have.

    Raises:
        ValueError: With the setting, what was given and what is possible.
    """
    if num_classes < 2:
        raise ValueError(
            f"num_classes is {num_classes}; expected at least 2. A binary task is two classes, "
            "background and object, with two scores a pixel."
        )
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(
                f"{name} is {value!r}; expected one of {', '.join(map(repr, allowed))}."
            )


def equals(labels: Tensor, value: int) -> Tensor:
    """Where a map has a value; bytes compare with a map 20 times as fast as with a number."""
    return labels == torch.full_like(labels, value)


def lift(labels: Tensor, mask: Tensor, value: int) -> Tensor:
    """The map with `value`, which no label exceeds, where the mask is set.

    Without a branch for each pixel, so many times as fast on the CPU as `masked_fill`.
    """
    return torch.maximum(labels, as_numbers(mask, labels.dtype) * value)


def as_numbers(mask: Tensor, dtype: torch.dtype = torch.uint8) -> Tensor:
    """A boolean map as zeros and ones."""
    return mask.view(torch.uint8) if dtype == torch.uint8 else mask.to(dtype)


def label_maps(
    preds: Tensor, target: Tensor, num_classes: int, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    """Prediction and truth as compact label maps in which `num_classes` says "no class".

    A target pixel without a class is void. A predicted pixel without a class (one that carries
    `ignore_index`) is wrong for every class. On the CPU a label out of range raises; on other
    devices looking would make the host wait, so such labels pass as "no class" unseen.

    Args:
        preds: Integer labels (B, H, W), or floating scores (B, K, H, W) of any precision, of which
            the largest decides.
        target: Integer labels (B, H, W).
        num_classes: K; labels are 0 to K - 1.
        ignore_index: The label of void pixels, inside or outside of 0 to K - 1, or None.

    Returns:
        Two maps (B, H, W) with values 0 to K, uint8 where K + 1 fits, else int32.

    Raises:
        ValueError: If shapes, types or labels are not as above.
    """
    if target.ndim != 3 or target.is_floating_point():
        raise ValueError(
            f"target is {target.dtype} of shape {tuple(target.shape)}; expected integer labels "
            "of shape (B, H, W)."
        )
    if preds.is_floating_point():
        preds = _labels_from_scores(preds, num_classes)
    if preds.shape != target.shape:
        raise ValueError(
            f"preds has shape {tuple(preds.shape)}, target {tuple(target.shape)}; expected label "
            f"maps of one shape (B, H, W), or floating scores (B, {num_classes}, H, W)."
        )
    return (
        _compact(preds, num_classes, ignore_index, "preds"),
        _compact(target, num_classes, ignore_index, "target"),
    )


def _labels_from_scores(scores: Tensor, num_classes: int) -> Tensor:
    if scores.ndim != 4 or scores.shape[1] != num_classes:
        hint = " One score a pixel is not enough: give two, background and object."
        raise ValueError(
            f"preds are scores of shape {tuple(scores.shape)}; expected (B, {num_classes}, H, W)."
            + (hint if scores.ndim == 4 and scores.shape[1] == 1 else "")
        )
    return scores.argmax(dim=1)


def _compact(labels: Tensor, num_classes: int, ignore_index: int | None, name: str) -> Tensor:
    if labels.dtype == torch.bool:
        labels = labels.to(torch.uint8)
    if labels.device.type == "cpu" and labels.numel() > 0:
        lowest, highest = (int(v) for v in labels.aminmax())
        if lowest >= 0 and highest <= 255:
            labels = labels.to(torch.uint8)
        if lowest < 0 or highest >= num_classes:
            _check_range(labels, num_classes, ignore_index, name)
    # One value above "no class" must stay free: contours mark pixels to look through with it.
    dtype = torch.uint8 if num_classes < 255 else torch.int32
    if labels.dtype == torch.uint8:
        compact = labels.to(dtype).clamp(max=num_classes)
    else:
        compact = labels.clamp(-1, num_classes)
        compact = torch.where(compact < 0, num_classes, compact).to(dtype)
    if ignore_index is not None and 0 <= ignore_index < num_classes:
        compact = lift(compact, equals(compact, ignore_index), num_classes)
    return compact


def _check_range(labels: Tensor, num_classes: int, ignore_index: int | None, name: str) -> None:
    known = labels
    if ignore_index is not None and (labels.dtype != torch.uint8 or 0 <= ignore_index <= 255):
        known = labels * ~equals(labels, ignore_index)
    wrong = [int(v) for v in known.aminmax() if not 0 <= v < num_classes]
    if wrong:
        void = "" if ignore_index is None else f" or {ignore_index} (ignore_index)"
        hint = " If it marks void pixels, name it as ignore_index." if ignore_index is None else ""
        raise ValueError(
            f"{name} holds the label {wrong[0]}; expected 0 to {num_classes - 1}{void}.{hint}"
        )
