"""Boundary loss."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.losses._by_class import check_classes, chosen
from lightning_seg.losses.base import Loss, check_shapes, loss_function, valid_scores
from lightning_seg.targets import BoundaryDistance
from lightning_seg.targets.signed_distance import Void


@loss_function
def boundary_loss(
    logits: Tensor,
    mask: Tensor,
    distance: Tensor | None = None,
    classes: Sequence[int] | None = None,
    void: Void = "background",
    ignore_index: int = 255,
) -> Tensor:
    """Mean of probability times signed distance to the boundary (Kervadec et al. 2019, eq. 5).

    Probability outside a class costs more the farther it lies from the class. Classes that are
    absent from an image, or fill it, have no boundary and contribute 0.

    Logits are (B, K, H, W), the mask (B, H, W) int64 with labels 0..K-1 or ``ignore_index``.
    ``distance`` (B, K, H, W) is the `lightning_seg.targets.boundary_distance` of the mask,
    computed by default. Options and errors as in `BoundaryLoss`.

    Returns:
        Scalar in pixels, float32 (float64 for float64 logits): the mean over valid pixels and the
        chosen classes, negative for good predictions; 0 if no pixel is valid.
    """
    check_shapes(logits, mask)
    check_classes(classes, logits.shape[1])
    if distance is None:
        distance = BoundaryDistance(void, ignore_index)(mask, logits.shape[1])
    elif distance.shape != logits.shape:
        raise ValueError(
            f"distance is {tuple(distance.shape)}, but must be {tuple(logits.shape)}: one map "
            "per class, as targets.boundary_distance returns"
        )
    probabilities = chosen(valid_scores(logits, mask, ignore_index).softmax(dim=1), classes)
    ignored = mask == ignore_index
    level = chosen(distance, classes).to(probabilities.dtype)
    level = level.masked_fill(ignored.unsqueeze(1), 0)
    return (probabilities * level).sum() / ((~ignored).sum().clamp(min=1) * level.shape[1])


class BoundaryLoss(Loss):
    """Boundary loss of Kervadec et al. (2019), see `boundary_loss`.

    Add it to a region loss with a small weight.

    Args:
        classes: Labels of the classes to include; all by default. The paper uses the foreground.
        void: ``background`` lets void bound the classes that it touches, as the authors do;
            ``ignore`` does not.
        ignore_index: Label of void pixels.

    Attributes:
        target: The distance map that the loss reads; its ``key`` identifies it.

    Raises:
        ValueError: An unknown ``void``; classes that repeat or are outside 0..K-1.

    Example:
        >>> import torch
        >>> from lightning_seg.losses import BoundaryLoss
        >>> mask = torch.tensor([[[0, 0, 1], [0, 255, 1]]])
        >>> logits = torch.zeros(1, 2, 2, 3)  # undecided between two classes
        >>> BoundaryLoss()(logits, mask)
        tensor(0.3500)
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
        """Raise if ``classes`` names a label outside 0..channels-1."""
        check_classes(self.classes, channels)

    def forward(self, logits: Tensor, mask: Tensor, distance: Tensor | None = None) -> Tensor:
        """Return the loss; ``distance`` is computed from the mask (B, H, W) unless given."""
        void, ignore_index = self.target.void, self.target.ignore_index
        return boundary_loss(logits, mask, distance, self.classes, void, ignore_index)
