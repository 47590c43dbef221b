"""What every network of this room is: an image in, a dict of features out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module):
    """Maps an image to features for a head.

    Subclasses return a dict with at least ``decoder``: (B, out_channels, h, w), h and w being the
    image's height and width divided by ``stride`` (rounded up); some add ``stem``, ``auxiliary``
    or ``edge``. Images come in [0, 1]; `normalize` brings them to what the encoder expects.

    Args:
        in_channels: Number of image channels.
        mean: Per-channel mean of the images in [0, 1]; repeated where there are more channels.
        std: Per-channel standard deviation, likewise.
    """

    out_channels: int
    stride: int
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.register_buffer("mean", _per_channel(mean, in_channels), persistent=False)
        self.register_buffer("std", _per_channel(std, in_channels), persistent=False)

    def normalize(self, image: Tensor) -> Tensor:
        """``(image - mean) / std`` a channel; image (B, C, H, W) in [0, 1]."""
        if image.shape[1] != self.in_channels:
            raise ValueError(
                f"the image has {image.shape[1]} channels but the network was built for "
                f"{self.in_channels}; set in_channels to the data's number of bands"
            )
        return (image - self.mean) / self.std


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    cycled = [values[i % len(values)] for i in range(channels)]
    return torch.tensor(cycled, dtype=torch.float32).view(1, -1, 1, 1)
