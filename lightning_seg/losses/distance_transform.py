"""Distance-transform loss."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.losses._by_class import check_classes, chosen, sum_by_class
from lightning_seg.losses.base import Loss, check_shapes, loss_function, mean_where, valid_scores
from lightning_seg.targets import InnerDistance
from lightning_seg.targets.inner_distance import Metric
from lightning_seg.targets.signed_distance import Void

Reduce = Literal["mean_present", "mean_all", "sum"]


@loss_function
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
    """One minus the share of each class's mass that lies on its boundary (Gül 2023, eq. 3.1).

    For each class of each image, let D be the distance of its pixels to the nearest pixel of
    another class, p the probability and y the label. Then ``W = (max D - D) / (max D - min D)`` on
    the class, 1 at the boundary and 0 at the deepest pixel; ``S = sum W + sum (1 - y) p``; and
    ``ratio = sum W p / S``. W is 1 where all pixels of a class are equally deep (lines, single
    pixels, a class that fills the image). Gradients flow through S as well. The thesis defines a
    set B of probabilities over 0.95 but uses it in no equation; it is not used here either.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    ``distance`` (B, 1, H, W) is the `lightning_seg.targets.inner_distance` of the mask,
    computed by default. Options and errors as in `DistanceTransformLoss`.

    Returns:
        Scalar in [0, 1] (``sum``: [1 - K, 1]), float32 (float64 for float64 logits): the mean over
        the images with a valid pixel (``mean_present``: with a chosen class); 0 if there is none.
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
            "map for all classes, as targets.inner_distance returns"
        )
    probabilities = valid_scores(logits, mask, ignore_index).softmax(dim=1)
    valid = mask != ignore_index
    labels = mask.masked_fill(~valid, 0)
    weight, present = _boundary_weight(
        distance.squeeze(1).to(probabilities.dtype), labels, valid, num_classes
    )
    own = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1) * valid
    hit, mass, within = (sum_by_class(m, labels, num_classes) for m in (weight * own, weight, own))
    # A sum rather than a matrix product, whose precision torch may reduce.
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
    """Return W (B, H, W), 0 at void, and the classes present in each image, (B, K) bool."""
    batch, height, _ = labels.shape
    # Row by row first: fewer pixels collide in one scatter.
    empty = distance.new_zeros(batch, height, num_classes)
    known = torch.where(valid, distance, 0)
    deepest = empty.scatter_reduce(2, labels, known, "amax").amax(dim=1)
    known = torch.where(valid, distance, torch.inf)
    shallowest = (empty + torch.inf).scatter_reduce(2, labels, known, "amin").amin(dim=1)
    present = shallowest < torch.inf
    span = torch.where(present, deepest - shallowest, 0)
    flat = labels.flatten(1)
    span, deepest = (x.gather(1, flat).view_as(distance) for x in (span, deepest))
    weight = torch.where(span > 0, (deepest - distance) / torch.where(span > 0, span, 1), 1)
    return weight * valid, present


class DistanceTransformLoss(Loss):
    """Distance-transform loss of Gül (2023), see `distance_transform_loss`.

    Args:
        metric: ``euclidean`` or ``chessboard``; see `lightning_seg.targets.inner_distance`.
        reduce: ``mean_present`` is one minus the mean ratio over the classes in the image.
            ``mean_all`` averages over all K classes; absent ones have a loss of 1. ``sum`` is one
            minus the sum of the ratios, as equation 3.1 is printed, with a minimum of 1 - K.
        classes: Labels of the classes to include; all by default.
        void: ``background`` lets void bound the classes that it touches; ``ignore`` does not.
        ignore_index: Label of void pixels, which have neither W nor p.

    Attributes:
        target: The distance map that the loss reads; its ``key`` identifies it.

    Raises:
        ValueError: An unknown ``metric``, ``reduce`` or ``void``; classes that repeat or are
            outside 0..K-1.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import DistanceTransformLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> DistanceTransformLoss()(logits, mask)
        tensor(0.7750)
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
        """Raise if ``classes`` names a label outside 0..channels-1."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor, distance: Tensor | None = None) -> Tensor:
        """Return the loss; ``distance`` is computed from the mask (B, H, W) unless given."""
        metric, void, ignore = self.target.metric, self.target.void, self.target.ignore_index
        return distance_transform_loss(
            logits, mask, distance, metric, self.reduce, self.classes, void, ignore
        )
