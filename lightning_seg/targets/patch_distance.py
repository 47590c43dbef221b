"""Distances inside each class, normalised per patch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.targets.inner_distance import inner_distance
from lightning_seg.targets.signed_distance import Void


@dataclass(frozen=True)
class PatchDistance:
    """Target of distance prediction in ResUNet-a (Diakogiannis et al. 2020, section 3.1.2).

    Inside a class it is the distance to the nearest pixel of another class, divided by the largest
    such distance of the class in the image; outside it is 0. The deepest pixel of a class is thus 1
    in every patch, whatever the size. A class absent from an image is 0 everywhere. One that fills
    it is 1; the authors' code gives 0 there, because OpenCV has no distance then.

    Values depend on the whole image, so training crops and whole images have different targets.

    Args:
        void: ``ignore`` measures to valid pixels of other classes only; ``background`` treats void
            as background of every class. Void pixels are 0.
        ignore_index: Label of void pixels.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import PatchDistance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> PatchDistance()(mask, num_classes=2)[0, :, 0]
        tensor([[1.0000, 0.5000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.5000, 1.0000]])
    """

    void: Void = "ignore"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        check_choice("void", self.void, Void)

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        return f"patch_distance-void={self.void}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, K, H, W) float32 in [0, 1] of a mask (B, H, W), on its device.

        Raises:
            ValueError: See `inner_distance`.
        """
        distance = inner_distance(mask, num_classes, "euclidean", self.ignore_index, self.void)
        labels = torch.arange(num_classes, device=mask.device).view(1, -1, 1, 1)
        inside = torch.where(mask.unsqueeze(1) == labels, distance, 0)
        deepest = inside.amax(dim=(2, 3), keepdim=True)
        return inside.div_(deepest.masked_fill(deepest == 0, 1))
