"""The boundary loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses.base import Loss, autocast_off, check_shapes, promote
from lightning_seg.losses.class_choice import check_classes, chosen
from lightning_seg.targets import BoundaryDistance
from lightning_seg.targets.signed_distance import Void


@autocast_off
def boundary_loss(
    logits: Tensor,
    mask: Tensor,
    distance: Tensor | None = None,
    classes: Sequence[int] | None = None,
    void: Void = "background",
    ignore_index: int = 255,
) -> Tensor:
    """Mean of probability times distance to the class's boundary (Kervadec et al. 2019, eq. 5).

    It draws each class's probability to where the class is, the farther the more. Classes that an
    image lacks, or that fill it, have no boundary and add 0.

    Args:
        logits: (B, K, H, W) floating point.
        mask: (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
        distance: (B, K, H, W), the mask's `lightning_seg.targets.boundary_distance`, if it is at
            hand; by default it is computed, on the mask's device.
        classes: Labels of the classes that count; by default all. The paper takes the foreground.
        void: Whether void bounds the classes that it touches, as for the authors (``background``),
            or not (``ignore``).
        ignore_index: Label of void pixels.

    Returns:
        Scalar in pixels, negative where probabilities lie well inside, float32 (float64 for float64
        logits): the mean over valid pixels and the chosen classes; 0 where no pixel is valid.

    Raises:
        ValueError: An unknown ``void``, classes that are none of K, or shapes that do not fit.
    """
    check_shapes(logits, mask)
    check_classes(classes, logits.shape[1])
    if distance is None:
        distance = BoundaryDistance(void, ignore_index)(mask, logits.shape[1])
    elif distance.shape != logits.shape:
        raise ValueError(
            f"distance is {tuple(distance.shape)}, but must be {tuple(logits.shape)}: one map a "
            "class, as targets.boundary_distance gives it"
        )
    probabilities = chosen(promote(logits).softmax(dim=1), classes)
    ignored = mask == ignore_index
    level = chosen(distance, classes).to(probabilities.dtype)
    level = level.masked_fill(ignored.unsqueeze(1), 0)
    return (probabilities * level).sum() / ((~ignored).sum().clamp(min=1) * level.shape[1])


class BoundaryLoss(Loss):
    """The boundary loss of Kervadec et al. (2019): `boundary_loss`.

    The term alone: it is added to a region loss, with a small weight.

    Args:
        classes: Labels of the classes that count; by default all.
        void: ``background`` or ``ignore``.
        ignore_index: Label of void pixels.

    Attributes:
        target: The distance map that it is computed from; its key names cached ones.
    """

    def __init__(
        self,
        classes: Sequence[int] | None = None,
        void: Void = "background",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        check_classes(classes)
        self.target = BoundaryDistance(void, ignore_index)
        self.classes = classes

    def check_channels(self, channels: int) -> None:
        """Refuses ``classes`` that are none."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor, distance: Tensor | None = None) -> Tensor:
        """Logits (B, K, H, W), mask (B, H, W) and, if at hand, the distance to a scalar."""
        void, ignore_index = self.target.void, self.target.ignore_index
        return boundary_loss(logits, mask, distance, self.classes, void, ignore_index)
