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
        if lowest < 0 or highest >= num_classes:
            _check_range(labels, num_classes, ignore_index, name)
        if lowest >= 0 and highest <= 255:
            labels = labels.to(torch.uint8)  # the comparisons below are then several times faster
    no_class = labels >= num_classes
    if labels.dtype != torch.uint8:
        no_class |= labels < 0
    if ignore_index is not None and 0 <= ignore_index < num_classes:
        no_class |= labels == ignore_index
    # One value above "no class" must stay free: contours mark pixels to look through with it.
    dtype = torch.uint8 if num_classes < 255 else torch.int32
    return labels.masked_fill(no_class, 0).to(dtype).masked_fill_(no_class, num_classes)


def _check_range(labels: Tensor, num_classes: int, ignore_index: int | None, name: str) -> None:
    wrong = (labels < 0) | (labels >= num_classes)
    if ignore_index is not None:
        wrong &= labels.long() != ignore_index
    if bool(wrong.any()):
        void = "" if ignore_index is None else f" or {ignore_index} (ignore_index)"
        hint = " If it marks void pixels, name it as ignore_index." if ignore_index is None else ""
        raise ValueError(
            f"{name} holds the label {int(labels[wrong][0])}; expected 0 to "
            f"{num_classes - 1}{void}.{hint}"
        )
