"""Hue, saturation and value of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor


def rgb_to_hsv(image: Tensor) -> Tensor:
    """Hue, saturation and value, each from 0 to 1.

    A whole turn of the hue is 1 and red is 0; what has no hue (grey) or no saturation (black) has 0
    there. OpenCV's floating-point HSV, its hue divided by 360.

    Args:
        image: (B, C, H, W) floating point in [0, 1] (anything beyond is clamped) with C at least 3,
            of which the first three are taken for red, green and blue.

    Returns:
        (B, 3, H, W) of the image's type, in [0, 1] and hue below 1.

    Raises:
        ValueError: Fewer than three channels, or integers.
    """
    if image.ndim != 4 or image.shape[1] < 3 or not image.is_floating_point():
        raise ValueError(
            "hue needs an image (B, C, H, W) of floating-point numbers with at least 3 channels, "
            f"but this one is {tuple(image.shape)} of {image.dtype}; where there are fewer, "
            "leave a head's colour unsupervised (color: [])"
        )
    rgb = image[:, :3].clamp(0, 1)
    red, green, blue = rgb.unbind(dim=1)
    value, strongest = rgb.max(dim=1)
    spread = value - rgb.amin(dim=1)
    saturation = spread / torch.where(value > 0, value, 1)
    # Sixths of a turn from the strongest colour towards its neighbours on the wheel.
    apart = torch.stack([green - blue, blue - red, red - green], dim=1)
    offset = apart.gather(1, strongest.unsqueeze(1)).squeeze(1) / torch.where(spread > 0, spread, 1)
    hue = ((2 * strongest + offset) / 6).remainder(1)
    # A hair below red is rounded up to a whole turn, which is red again.
    return torch.stack([hue.masked_fill(hue == 1, 0), saturation, value], dim=1)


@dataclass(frozen=True)
class HSV:
    """The target of colour prediction in ResUNet-a: `rgb_to_hsv` of the image that is trained on.

    The paper divides OpenCV's 8-bit hue (0 to 179, half degrees) by 179; here a turn is 1 exactly.
    """

    @property
    def key(self) -> str:
        """Its name."""
        return "hsv"

    def __call__(self, image: Tensor) -> Tensor:
        """Image (B, C, H, W) in [0, 1] to (B, 3, H, W) in [0, 1], on the image's device."""
        return rgb_to_hsv(image)
