"""Level-set map of each class boundary."""

from dataclasses import dataclass

from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.targets.signed_distance import Void, signed_distance


def boundary_distance(
    mask: Tensor, num_classes: int, ignore_index: int = 255, void: Void = "background"
) -> Tensor:
    """Level-set map of each class, negative inside as in Kervadec et al. (2019).

    Outside a class it is the exact Euclidean distance to the class. Inside it is 1 minus the
    distance to the nearest pixel outside, so the outermost pixels of a class are 0.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        ignore_index: Label of void pixels.
        void: ``background``: void lies outside every class and bounds the classes that it touches,
            as in the authors' code. ``ignore``: distances are measured between valid pixels only.

    Returns:
        (B, K, H, W) float32 in pixels, unclipped, on the mask's device. The map is 0 everywhere for
        a class that is absent from an image or fills it (with ``ignore``: fills its valid pixels).
        With ``ignore`` void pixels are 0.

    Raises:
        ValueError: See `signed_distance`.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import boundary_distance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> boundary_distance(mask, num_classes=2)[0, :, 0]
        tensor([[-1.,  0.,  1.,  2.],
                [ 2.,  1.,  0., -1.]])
    """
    distance = signed_distance(mask, num_classes, None, ignore_index, void)
    height, width = mask.shape[1:]
    unbounded = (height**2 + width**2) ** 0.5 - 0.5  # the diagonal; distances are well below it
    level = distance.neg_()
    level.masked_fill_(level > unbounded, 0).masked_fill_(level < -unbounded, 0)
    return level.add_(level < 0)


@dataclass(frozen=True)
class BoundaryDistance:
    """Distance map of the boundary loss: `boundary_distance` in pixels.

    Args:
        void: See `boundary_distance`.
        ignore_index: Label of void pixels.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import BoundaryDistance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> BoundaryDistance()(mask, num_classes=2)[0, :, 0]
        tensor([[-1.,  0.,  1.,  2.],
                [ 2.,  1.,  0., -1.]])
    """

    void: Void = "background"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        check_choice("void", self.void, Void)

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        return f"boundary_distance-void={self.void}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, K, H, W) float32 in pixels of a mask (B, H, W), on its device."""
        return boundary_distance(mask, num_classes, self.ignore_index, self.void)
