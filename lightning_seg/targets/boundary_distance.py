"""Level-set maps of the boundary of every class."""

from dataclasses import dataclass

from torch import Tensor

from lightning_seg.targets.signed_distance import Void, check_void, signed_distance


def boundary_distance(
    mask: Tensor, num_classes: int, ignore_index: int = 255, void: Void = "background"
) -> Tensor:
    """Level-set map of every class, its sign as Kervadec et al. (2019) have it: negative inside.

    Outside a class it is the exact Euclidean distance to the class, inside it minus the distance
    to the nearest pixel outside, plus 1: so the class's outermost pixels are 0.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        ignore_index: Label of void pixels.
        void: ``background``: void lies outside every class and bounds those it touches, as for the
            authors. ``ignore``: distances are measured between valid pixels only.

    Returns:
        (B, K, H, W) float32 in pixels, unclipped, on the mask's device. A class absent from an
        image is 0 all over it, and so is one that fills it (with ``ignore``: its valid pixels), and
        with ``ignore`` every class at void pixels.

    Raises:
        ValueError: As `signed_distance`.
    """
    distance = signed_distance(mask, num_classes, None, ignore_index, void)
    height, width = mask.shape[1:]
    nowhere = (height**2 + width**2) ** 0.5 - 0.5  # the diagonal; distances stay well below it
    level = distance.neg_()
    level.masked_fill_(level > nowhere, 0).masked_fill_(level < -nowhere, 0)
    return level.add_(level < 0)


@dataclass(frozen=True)
class BoundaryDistance:
    """What the boundary loss multiplies probabilities by: `boundary_distance` in pixels.

    Args:
        void: See `boundary_distance`.
        ignore_index: Label of void pixels.
    """

    void: Void = "background"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        check_void(self.void)

    @property
    def key(self) -> str:
        """Name and parameters, fit for a file name."""
        return f"boundary_distance-void={self.void}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Mask (B, H, W) to (B, K, H, W) float32 in pixels, on the mask's device."""
        return boundary_distance(mask, num_classes, self.ignore_index, self.void)
