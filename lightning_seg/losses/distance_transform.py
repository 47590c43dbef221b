"""The distance-transform loss."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.losses.base import (
    Loss,
    autocast_off,
    check_choice,
    check_shapes,
    mean_where,
    promote,
)
from lightning_seg.losses.class_choice import check_classes, chosen
from lightning_seg.losses.class_sums import sum_by_class
from lightning_seg.targets import InnerDistance
from lightning_seg.targets.inner_distance import Metric
from lightning_seg.targets.signed_distance import Void

Reduce = Literal["mean_present", "mean_all", "sum"]


@autocast_off
def distance_transform_loss(
    logits: Tensor,
    mask: Tensor,
    distance: Tensor | None = None,
    metric: Metric = "euclidean",
    reduce: Reduce = "mean_present",
    classes: Sequence[int] | None = None,
    void: Void = "ignore",
    ignore_index: int = 255,
) -> Tensor:
    """One minus the share of each class's mass that lies on its own boundary (Gül 2023, eq. 3.1).

    With D the distance of a class's pixels to the nearest pixel of another class, p the
    probability and y the label, for each class of each image: ``W = (max D - D) / (max D - min D)``
    on its pixels, 1 at the boundary and 0 at the deepest; ``S = sum W + sum (1 - y) p``;
    ``ratio = sum W p / S``. Where all of a class's pixels are equally deep (lines, single pixels, a
    class that fills the image) W is 1. The loss is differentiated through S, too. Probabilities
    over 0.95 (the thesis's B) enter no equation and so nothing here.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        distance: (B, 1, H, W), the mask's `lightning_seg.targets.inner_distance`, if it is at hand;
            by default it is computed, on the mask's device.
        metric: ``euclidean`` or ``chessboard``; see `lightning_seg.targets.inner_distance`.
        reduce: ``mean_present``: one minus the mean ratio of the classes that an image holds.
            ``mean_all``: of all classes, a constant 1 for each that it does not hold. ``sum``: one
            minus the sum of the ratios, as equation 3.1 is printed; it sinks to 1 - K.
        classes: Labels of the classes that count; by default all.
        void: Whether void bounds the classes that it touches: ``ignore`` or ``background``.
        ignore_index: Label of void pixels, which have neither W nor p.

    Returns:
        Scalar in [0, 1] (``sum``: [1 - K, 1]), float32 (float64 for float64 logits): the mean over
        the images that have something to count; 0 where none has.

    Raises:
        ValueError: An unknown ``metric``, ``reduce`` or ``void``, classes that are none of K, or
            shapes that do not fit.
    """
    check_shapes(logits, mask)
    check_choice("reduce", reduce, Reduce)
    check_classes(classes, logits.shape[1])
    batch, num_classes, height, width = logits.shape
    if distance is None:
        distance = InnerDistance(metric, void, ignore_index)(mask, num_classes)
    elif distance.shape != (batch, 1, height, width):
        raise ValueError(
            f"distance is {tuple(distance.shape)}, but must be {(batch, 1, height, width)}: one "
            "map for all classes, as targets.inner_distance gives it"
        )
    probabilities = promote(logits).softmax(dim=1)
    valid = mask != ignore_index
    labels = mask.masked_fill(~valid, 0)
    weight, present = _boundary_weight(
        distance.squeeze(1).to(probabilities.dtype), labels, valid, num_classes
    )
    own = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1) * valid
    hit, mass, within = (sum_by_class(m, labels, num_classes) for m in (weight * own, weight, own))
    # A sum, and no product of matrices, whose precision torch may lower.
    everywhere = probabilities.masked_fill(~valid.unsqueeze(1), 0).sum(dim=(2, 3))
    ratio = hit / torch.where(present, mass + everywhere - within, 1)
    ratio, present = chosen(ratio, classes), chosen(present, classes)
    if reduce == "mean_present":
        share = ratio.sum(dim=1) / present.sum(dim=1).clamp(min=1)
        return mean_where(1 - share, present.any(dim=1))
    share = ratio.mean(dim=1) if reduce == "mean_all" else ratio.sum(dim=1)
    return mean_where(1 - share, valid.flatten(1).any(dim=1))


def _boundary_weight(
    distance: Tensor, labels: Tensor, valid: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """W (B, H, W) of all classes, 0 at void, and whether each class is in each image (B, K)."""
    batch, height, _ = labels.shape
    # Rows first, then all of them: fewer pixels at a time fall on one class.
    empty = distance.new_zeros(batch, height, num_classes)
    known = torch.where(valid, distance, 0)
    deepest = empty.scatter_reduce(2, labels, known, "amax").amax(dim=1)
    known = torch.where(valid, distance, torch.inf)
    shallowest = (empty + torch.inf).scatter_reduce(2, labels, known, "amin").amin(dim=1)
    present = shallowest < torch.inf
    span = torch.where(present, deepest - shallowest, 0)
    flat = labels.flatten(1)
    span, deepest = (each.gather(1, flat).view_as(distance) for each in (span, deepest))
    weight = torch.where(span > 0, (deepest - distance) / torch.where(span > 0, span, 1), 1)
    return weight * valid, present


class DistanceTransformLoss(Loss):
    """The distance-transform loss of Gül (2023): `distance_transform_loss`.

    Args:
        metric: ``euclidean`` or ``chessboard``.
        reduce: ``mean_present``, ``mean_all`` or ``sum``.
        classes: Labels of the classes that count; by default all.
        void: ``ignore`` or ``background``.
        ignore_index: Label of void pixels.

    Attributes:
        target: The distance map that it is computed from; its key names cached ones.
    """

    def __init__(
        self,
        metric: Metric = "euclidean",
        reduce: Reduce = "mean_present",
        classes: Sequence[int] | None = None,
        void: Void = "ignore",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_choice("reduce", reduce, Reduce)
        check_classes(classes)
        self.target = InnerDistance(metric, void, ignore_index)
        self.reduce: Reduce = reduce
        self.classes = classes

    def check_channels(self, channels: int) -> None:
        """Refuses ``classes`` that are none."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor, distance: Tensor | None = None) -> Tensor:
        """Logits (B, K, H, W), mask (B, H, W) and, if at hand, the distance to a scalar."""
        target = self.target
        return distance_transform_loss(
            logits,
            mask,
            distance,
            target.metric,
            self.reduce,
            self.classes,
            target.void,
            target.ignore_index,
        )
