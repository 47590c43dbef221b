"""E-measure of binary maps (Fan et al., IJCAI 2018), each class against the rest."""

from typing import Literal

import torch
from torch import Tensor

from lightning_seg.metrics.functional.labels import check_settings, equals, label_maps, lift
from lightning_seg.metrics.functional.ratios import as_float64
from lightning_seg.metrics.functional.windows import overlaps

RegionVoid = Literal["removed", "zeroed"]
Normalize = Literal["N-1", "N"]
_TINY = torch.finfo(torch.float64).eps


def check_e_measure(
    num_classes: int, void: str, normalize: str, average: str | None = "macro"
) -> None:
    """Raise ValueError if the settings of the E-measure are invalid."""
    check_settings(
        num_classes,
        void=(void, ("removed", "zeroed")),
        normalize=(normalize, ("N-1", "N")),
        average=(average, ("macro", None)),
    )


def e_measure(
    preds: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int | None = None,
    void: RegionVoid = "removed",
    normalize: Normalize = "N-1",
) -> Tensor:
    """Return the E-measure of each image and class.

    Let a and b be the binary ground truth and prediction minus their means, and
    q = 2ab / (a^2 + b^2). The E-measure is the mean of (q + 1)^2 / 4 over the pixels. It depends
    on four counts only, so no per-pixel map is computed. A class absent from the ground truth
    scores the fraction of pixels not predicted as the class; a class that fills the ground truth
    scores the fraction predicted as the class. It measures regions, not boundaries. Fan et al.,
    "Enhanced-alignment measure for binary foreground map evaluation", IJCAI 2018.

    Args:
        preds: Labels (B, H, W) or scores (B, K, H, W).
        target: Labels (B, H, W).
        num_classes: K.
        ignore_index: Label of ignored pixels.
        void: "removed" leaves ignored pixels out; "zeroed" counts them as background of every
            class in both maps, which inflates the score.
        normalize: "N-1" divides by the number of pixels minus one, as in the public code, so a
            perfect map scores slightly more than 1; "N" divides by the number of pixels.

    Returns:
        float64 (B, K), NaN where the class is in neither map.

    Example:
        >>> target = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> target[:, :, 4:] = 1
        >>> e_measure(target.roll(1, dims=2), target, num_classes=2, normalize="N")
        tensor([[0.7500, 0.7500]], dtype=torch.float64)
    """
    check_e_measure(num_classes, void, normalize)
    pred, truth = label_maps(preds, target, num_classes, ignore_index)
    pred = lift(pred, equals(truth, num_classes), num_classes)
    both, predicted, true = (as_float64(counts) for counts in overlaps(pred, truth, num_classes))
    height, width = truth.shape[-2:]
    void_pixels = true[:, -1:] if void == "removed" else torch.zeros_like(true[:, -1:])
    pixels = height * width - void_pixels
    both, predicted, true = both[:, :-1], predicted[:, :-1], true[:, :-1]

    total = torch.zeros_like(both)
    mean_true, mean_predicted = true / pixels, predicted / pixels
    for g, p, count in (
        (1, 1, both),
        (0, 1, predicted - both),
        (1, 0, true - both),
        (0, 0, pixels - predicted - true + both),
    ):
        a, b = g - mean_true, p - mean_predicted
        alignment = 2 * a * b / (a * a + b * b + _TINY)
        total = total + count * (alignment + 1).square() / 4
    total = torch.where(true == 0, pixels - predicted, total)
    total = torch.where(true == pixels, predicted, total)
    divisor = (pixels - 1).clamp(min=1) if normalize == "N-1" else pixels
    return torch.where(true + predicted > 0, total / divisor, torch.nan)
