"""ResUNet-a's augmentation: rotation and zoom about a random centre."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from albumentations.augmentations.geometric import functional
from albumentations.core.type_definitions import Targets

from lightning_seg.errors import InputError


class ZoomRotate(A.DualTransform):
    """Rotate and zoom image and mask about a random point, with reflected borders.

    Both axes share one zoom factor. Centre, angle and factor are uniform in the image and in their
    ranges. Images are interpolated linearly, masks by nearest neighbour. Areas beyond the border
    are reflected without repeating the border's pixels (OpenCV's REFLECT_101), also in masks.

    Source: Diakogiannis et al., "ResUNet-a", 2020, section 3.3; its code rotates by at most
    85 degrees and zooms by 0.25 to 1.25, where factors below 1 make objects smaller.

    Args:
        zoom: Smallest and largest factor, above 0.
        rotate: Smallest and largest angle in degrees, counter-clockwise.
        p: Probability of the transform.

    Raises:
        InputError: A range is reversed, or a factor is 0 or less.
    """

    _targets = (Targets.IMAGE, Targets.MASK)
    border_mode = cv2.BORDER_REFLECT_101
    mask_interpolation = cv2.INTER_NEAREST

    def __init__(
        self,
        zoom: tuple[float, float] = (0.25, 1.25),
        rotate: tuple[float, float] = (-180.0, 180.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        for name, (low, high) in (("zoom", zoom), ("rotate", rotate)):
            if low > high:
                raise InputError(f"{name} is {[low, high]}: give the smaller number first.")
        if zoom[0] <= 0:
            raise InputError(f"zoom is {list(zoom)}, but factors must be above 0.")
        self.zoom = (zoom[0], zoom[1])
        self.rotate = (rotate[0], rotate[1])

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw centre, angle and factor; return them as ``matrix`` (3, 3)."""
        height, width = params["shape"][:2]
        centre = self.py_random.uniform(0, width - 1), self.py_random.uniform(0, height - 1)
        angle, factor = self.py_random.uniform(*self.rotate), self.py_random.uniform(*self.zoom)
        matrix = cv2.getRotationMatrix2D(centre, angle, factor)
        return {"matrix": np.vstack([matrix, [0.0, 0.0, 1.0]])}

    def apply(self, img: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Return the transformed image."""
        return _moved(img, matrix, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Return the transformed mask."""
        return _moved(mask, matrix, self.mask_interpolation)


def _moved(array: np.ndarray, matrix: np.ndarray, interpolation: int) -> np.ndarray:
    return functional.warp_affine(
        array, matrix, interpolation, 0, cv2.BORDER_REFLECT_101, array.shape[:2]
    )
