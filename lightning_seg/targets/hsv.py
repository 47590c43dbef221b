"""Hue, saturation and value of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor


def rgb_to_hsv(image: Tensor) -> Tensor:
    """Hue, saturation and value, each from 0 to 1.

    A full turn of the hue is 1, and red is 0. Grey pixels have hue 0, black pixels saturation 0.
    Equals OpenCV's floating-point HSV with the hue divided by 360.

    Args:
        image: (B, C, H, W) floating point, clamped to [0, 1], with C at least 3. The first three
            channels are red, green and blue.

    Returns:
        (B, 3, H, W) of the same dtype, in [0, 1], with hue below 1.

    Raises:
        ValueError: Fewer than three channels, or integers.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import rgb_to_hsv
        >>> image = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)  # green
        >>> rgb_to_hsv(image).flatten()
        tensor([0.3333, 1.0000, 1.0000])
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
    # Offset, in sixths of a turn, from the strongest primary towards its neighbours.
    apart = torch.stack([green - blue, blue - red, red - green], dim=1)
    offset = apart.gather(1, strongest.unsqueeze(1)).squeeze(1) / torch.where(spread > 0, spread, 1)
    hue = ((2 * strongest + offset) / 6).remainder(1)
    # A hue just below a full turn may round up to 1, which is red again.
    return torch.stack([hue.masked_fill(hue == 1, 0), saturation, value], dim=1)


@dataclass(frozen=True)
class HSV:
    """Target of colour prediction in ResUNet-a: `rgb_to_hsv` of the training image.

    The paper divides OpenCV's 8-bit hue (0 to 179, half degrees) by 179; here a turn is exactly 1.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import HSV
        >>> image = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)  # green
        >>> HSV()(image).flatten()
        tensor([0.3333, 1.0000, 1.0000])
    """

    @property
    def key(self) -> str:
        """Name, usable as a file name."""
        return "hsv"

    def __call__(self, image: Tensor) -> Tensor:
        """Return HSV (B, 3, H, W) in [0, 1] of an image (B, C, H, W), on its device."""
        return rgb_to_hsv(image)
